"""A refresh changes what is known of a person, and never who it is."""

import pytest
from aiohttp import web

from tests.login_server import CLIENT, TOKEN, LoginWorld
from tests.tokens import ABSENT
from ztproxy.identity.sessions.refreshing import IssuerAway, Refreshed, RefreshRefused

PAGE = "https://app.test/x"


@pytest.fixture
async def world(tmp_path):
    async with LoginWorld(tmp_path) as world:
        yield world


@pytest.fixture
async def op(world):
    return await world.op()


@pytest.fixture
async def browser(world, op):
    browser = world.browser(await world.gateway(op))
    await browser.get(PAGE)
    return browser


async def session_of(browser):
    context = browser.gateway.identity._logins.context
    ((key, record),) = (await browser.gateway.kept(b"s")).items()
    return context.sessions.sealed.opened(key, record)


async def refreshed(world, browser):
    logins = browser.gateway.identity._logins
    return await logins.refresh.refresh(await session_of(browser), world.clock.wall)


async def test_new_claims_reach_the_policy(world, browser, op):
    op.person = op.person | {"groups": ["admins"]}
    world.clock.advance(601)
    assert (await browser.get(PAGE)).status == 200
    assert browser.gateway.policy.asked[-1].token.claims["groups"] == ["admins"]
    assert [grant["grant_type"] for grant in op.grants] == ["authorization_code", "refresh_token"]
    world.clock.advance(601)
    assert (await browser.get(PAGE)).status == 200
    first, second = (grant["refresh_token"] for grant in op.grants[1:])
    assert first != second


async def test_it_says_when_to_ask_again(world, browser):
    outcome = await refreshed(world, browser)
    assert isinstance(outcome, Refreshed)
    assert (outcome.refresh_at, outcome.token_expires_at) == (world.clock.wall + 480, world.clock.wall + 600)


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "mallory"},
        {"iss": "https://evil.test"},
        {"aud": "others"},
        {"aud": [CLIENT, "others"], "azp": CLIENT},
        {"exp": 1},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    ],
)
async def test_an_id_token_about_somebody_else_ends_the_session(world, browser, op, claims):
    op.id_token = claims
    outcome = await refreshed(world, browser)
    assert isinstance(outcome, RefreshRefused)
    world.clock.advance(601)
    assert (await browser.once(PAGE)).status == 303
    assert len(browser.gateway.policy.asked) == 1


async def test_a_forged_one_too(world, browser, op):
    op.header = {"kid": "other"}
    assert isinstance(await refreshed(world, browser), RefreshRefused)


async def test_a_refresh_token_that_was_used(world, browser, op):
    session = await session_of(browser)
    logins = browser.gateway.identity._logins
    assert isinstance(await logins.refresh.refresh(session, world.clock.wall), Refreshed)
    assert isinstance(await logins.refresh.refresh(session, world.clock.wall), RefreshRefused)


async def test_without_a_new_id_token_the_claims_stay(world, browser, op):
    op.given = {"id_token": ABSENT}
    before = await session_of(browser)
    outcome = await refreshed(world, browser)
    assert isinstance(outcome, Refreshed)
    assert (outcome.claims, outcome.id_token) == (before.claims, before.id_token)


async def test_without_a_new_refresh_token_the_old_one_stays(world, browser, op):
    op.given = {"refresh_token": ABSENT}
    before = await session_of(browser)
    assert (await refreshed(world, browser)).refresh_token == before.refresh_token


@pytest.mark.parametrize(
    "said",
    [
        {"acr": ABSENT, "auth_time": ABSENT, "sid": ABSENT},
        {"acr": "urn:best", "auth_time": 1_800_000_500, "sid": "other", "amr": ["mfa"]},
    ],
)
async def test_a_refresh_is_no_login_and_steps_nothing_up(world, browser, op, said):
    before = (await session_of(browser)).claims
    op.id_token = said
    claims = (await refreshed(world, browser)).claims
    assert [claims[name] for name in ("acr", "auth_time", "sid")] == ["urn:one", 1_800_000_000, "op-session-1"]
    assert "amr" not in claims
    assert before["auth_time"] == claims["auth_time"]


@pytest.mark.parametrize("error", ["invalid_client", "temporarily_unavailable", "slow_down"])
async def test_an_issuer_that_cannot_do_its_work_ends_no_session(world, browser, op, error):
    async def answer(_):
        return web.json_response({"error": error}, status=400)

    op.answers[TOKEN] = answer
    assert isinstance(await refreshed(world, browser), IssuerAway)


async def test_an_issuer_that_is_away_ends_no_session(world, browser, op):
    await op.stop()
    assert isinstance(await refreshed(world, browser), IssuerAway)
    world.clock.advance(601)
    assert (await browser.get(PAGE)).status == 200


async def test_a_login_that_is_configured_no_more(world, browser, op):
    other = await world.gateway(op, login={"client_id": "another"})
    session = await session_of(browser)
    assert isinstance(await other.identity._logins.refresh.refresh(session, world.clock.wall), RefreshRefused)


async def test_userinfo_about_another_person(world, op):
    browser = world.browser(await world.gateway(op, login={"userinfo": True}))
    op.userinfo = {"sub": "alice", "groups": ["staff"]}
    await browser.get(PAGE)
    op.userinfo = {"sub": "mallory"}
    assert isinstance(await refreshed(world, browser), RefreshRefused)
    op.given = {"id_token": ABSENT}
    op.refresh_tokens[(await session_of(browser)).refresh_token] = "good"
    assert isinstance(await refreshed(world, browser), RefreshRefused)


async def test_groups_and_roles_are_those_of_the_claims_now(world, op):
    issuer = world.trust(op, groups={"claim": "teams", "roles": {"editor": ["staff"]}})
    routes = [world.route("app", hosts=["app.test"], issuers=[op.url], login=op.url)]
    browser = world.browser(await world.gateway(op, issuers=[issuer], routes=routes))
    op.person = op.person | {"teams": ["staff"]}
    await browser.get(PAGE)
    token = browser.gateway.policy.asked[-1].token
    assert (token.groups, token.roles) == (("staff",), ("editor",))
    op.person = op.person | {"teams": ["others"]}
    world.clock.advance(601)
    await browser.get(PAGE)
    token = browser.gateway.policy.asked[-1].token
    assert (token.groups, token.roles) == (("others",), ())
