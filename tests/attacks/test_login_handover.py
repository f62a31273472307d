"""What the central login host hands over is good once, at once, in one browser, on one host, for one login."""

import pytest

from tests.login_server import LoginWorld, query_of
from ztproxy.identity.login import handover

ONE, TWO, LOGIN = "one.test", "two.test", "login.test"
PAGE = f"https://{ONE}/x?y=1"
HANDOVER = "/.well-known/ztproxy/handover"


@pytest.fixture
async def world(tmp_path):
    async with LoginWorld(tmp_path) as world:
        yield world


@pytest.fixture
async def op(world):
    return await world.op()


def routes(world, op):
    hosts = {"one": [ONE], "two": [TWO], "login": [LOGIN]}
    return [world.route(name, hosts=of, issuers=[op.url], login=op.url) for name, of in hosts.items()]


@pytest.fixture
async def browser(world, op):
    return world.browser(await world.gateway(op, routes=routes(world, op), login={"host": LOGIN}))


async def until(browser, url, path):
    """Follow redirects up to the one that leads to a path, which is given and not followed."""
    for _ in range(8):
        response = await browser.once(url)
        url = response["location"]
        if path in url.partition("?")[0]:
            return url
    raise AssertionError(browser.visited)


async def refused(browser, url, host=ONE):
    response = await browser.once(url)
    assert response.reason == "login-failed", (response.status, response.body)
    assert browser.session(host) is None
    return response


async def test_one_login_for_all_hosts(browser, op):
    assert (await browser.get(PAGE)).url == PAGE
    assert (await browser.get(f"https://{TWO}/z")).url == f"https://{TWO}/z"
    assert len(op.asked_to_authorize) == 1
    assert op.asked_to_authorize[0]["redirect_uri"] == f"https://{LOGIN}/.well-known/ztproxy/callback"
    sessions = {browser.session(host) for host in (ONE, TWO, LOGIN)}
    assert len(sessions) == 3
    assert None not in sessions
    assert [browser.logins(host) for host in (ONE, TWO, LOGIN)] == [[], [], []]


async def test_a_code_is_good_once(world, browser):
    url = await until(browser, PAGE, HANDOVER)
    before = dict(browser.jar[ONE])
    assert (await browser.once(url)).status == 303
    again = world.browser(browser.gateway)
    again.jar[ONE] = before
    await refused(again, url)


async def test_a_code_that_leaks_is_worth_nothing(world, browser):
    url = await until(browser, PAGE, HANDOVER)
    thief = world.browser(browser.gateway)
    await refused(thief, url)
    await until(thief, PAGE, "/authorize")  # with a login of its own under way
    await refused(thief, url)
    own = next(name for name in thief.jar[ONE])
    assert own not in url
    assert (await browser.once(url)).status == 303  # and the thief has not spent it


async def test_a_code_with_the_state_of_another_login(world, browser):
    """Session fixation: the attacker's code in the victim's login."""
    attacker = world.browser(browser.gateway)
    stolen = query_of(await until(attacker, PAGE, HANDOVER))["code"]
    url = await until(browser, PAGE, HANDOVER)
    await refused(browser, url.replace(query_of(url)["code"], stolen))


async def test_a_code_at_another_host(world, browser):
    url = await until(browser, PAGE, HANDOVER)
    browser.jar[TWO] = browser.jar[ONE]
    await refused(browser, url.replace(ONE, TWO), TWO)


async def test_a_code_that_comes_late(world, browser):
    url = await until(browser, PAGE, HANDOVER)
    world.clock.advance(handover.LASTS)
    await refused(browser, url)


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url + "&code=x",
        lambda url: url.split("?")[0],
        lambda url: url.replace("code=", "code=A"),
        lambda url: url.replace("&state", "&states"),
    ],
)
async def test_another_form_of_it(browser, change):
    await refused(browser, change(await until(browser, PAGE, HANDOVER)))


async def test_the_central_host_logs_in_for_our_own_hosts_alone(world, browser, op):
    """Whoever asks it has to have been sent by one of our hosts, a moment ago."""
    asked = (await browser.once(PAGE))["location"]
    value = query_of(asked)["for"]
    base = asked.partition("?")[0]
    for query in ("", "?for=", "?for=https://evil.test", f"?for={value[:-2]}", f"?for={value}&for={value}", "?x=1"):
        await refused(browser, base + query, LOGIN)
    world.clock.advance(600)
    await refused(browser, asked, LOGIN)
    assert op.asked_to_authorize == []


async def test_no_other_host_takes_its_place(browser):
    asked = (await browser.once(PAGE))["location"]
    response = await browser.once(asked.replace(LOGIN, ONE))
    assert response.reason == "route-not-found"


async def test_a_link_to_the_central_host_gives_nobody_a_session_elsewhere(world, browser):
    """The attacker's login is continued by the victim, who is logged in at the central host."""
    await browser.get(PAGE)
    attacker = world.browser(browser.gateway)
    asked = (await attacker.once(f"https://{TWO}/"))["location"]
    handed = (await browser.once(asked))["location"]
    await refused(browser, handed, TWO)


async def test_a_session_of_the_central_host_that_is_too_weak_does_not_do(world, browser, op):
    from ztproxy.model import Reason, Refusal, StepUp

    await browser.get(PAGE)
    wanted = StepUp(("urn:two",))

    def decide(admitted):
        met = wanted.met(admitted.token.claims, admitted.arrived.wall)
        return None if met else Refusal(Reason.STEP_UP_REQUIRED, step_up=wanted)

    browser.gateway.policy.decide = decide
    op.acr = "urn:two"
    response = await browser.get(f"https://{TWO}/z")
    assert response.status == 200
    assert op.asked_to_authorize[-1]["acr_values"] == "urn:two"


async def test_no_refresh_token_leaves_the_central_host(browser):
    await browser.get(PAGE)
    context = browser.gateway.identity._logins.context
    held = {}
    for key, record in (await browser.gateway.kept(b"s")).items():
        session = context.sessions.sealed.opened(key, record)
        held[session.host] = session.refresh_token
    assert held[LOGIN] is not None
    assert held[ONE] is None


async def test_signing_out_at_one_host_signs_out_at_all(world, browser, op):
    await browser.get(PAGE)
    await browser.get(f"https://{TWO}/z")
    page = await browser.get(f"https://{ONE}/.well-known/ztproxy/logout")
    gone = await browser.press(page)
    assert gone.url.startswith(f"https://{LOGIN}/.well-known/ztproxy/logged-out?")
    assert f'href="https://{ONE}/"'.encode() in gone.body
    world.clock.advance(20)
    for host in (ONE, TWO):
        assert (await browser.once(f"https://{host}/")).status == 303
    await browser.get(f"https://{TWO}/z")
    assert len(op.asked_to_authorize) == 2


async def test_another_account_is_chosen_at_the_issuer(browser, op):
    await browser.get(PAGE)
    op.person = {"sub": "bob"}
    op.sid = "op-session-2"
    response = await browser.post(f"https://{ONE}/.well-known/ztproxy/logout", [("again", "/x?y=1")])
    assert response.url == PAGE
    assert op.asked_to_authorize[-1]["prompt"] == "login"
    assert browser.gateway.policy.asked[-1].token.subject == "bob"
