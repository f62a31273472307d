"""Nobody is sent to log in again and again, whatever the issuer says and whatever becomes of the session."""

import pytest

from tests.login_server import LoginWorld
from ztproxy.identity.login import just_done
from ztproxy.model import Reason, Refusal, StepUp

PAGE = "https://app.test/pay"


@pytest.fixture
async def world(tmp_path):
    async with LoginWorld(tmp_path) as world:
        yield world


@pytest.fixture
async def op(world):
    return await world.op()


@pytest.fixture
async def browser(world, op):
    return world.browser(await world.gateway(op))


def demands(browser, wanted, path="/pay"):
    """The policy wants a login to be like this for a path."""

    def decide(admitted):
        if admitted.arrived.path != path or wanted.met(admitted.token.claims, admitted.arrived.wall):
            return None
        return Refusal(Reason.STEP_UP_REQUIRED, step_up=wanted)

    browser.gateway.policy.decide = decide


async def test_a_step_up_leads_back_with_another_session(browser, op):
    await browser.get("https://app.test/")
    before = browser.session()
    demands(browser, StepUp(("urn:two",), 60))
    op.acr = "urn:two"
    response = await browser.get(PAGE)
    assert (response.status, response.url) == (200, PAGE)
    asked = op.asked_to_authorize[-1]
    assert (asked["acr_values"], asked["max_age"], asked["login_hint"]) == ("urn:two", "60", "alice@corp.example")
    assert browser.session() not in (None, before)


@pytest.mark.parametrize("wanted", [StepUp(("urn:two",)), StepUp((), 60), StepUp(("urn:two", "urn:three"), 60)])
async def test_an_issuer_that_ignores_what_it_is_asked_for(world, browser, op, wanted):
    op.logged_in_at = world.clock.wall - 3600
    await browser.get("https://app.test/")
    before = browser.session()
    demands(browser, wanted)
    asked = len(op.asked_to_authorize)
    response = await browser.get(PAGE)
    assert (response.status, response.reason) == (403, "step-up-failed")
    assert len(op.asked_to_authorize) == asked + 1
    assert browser.session() == before
    assert b'href="/pay"' in response.body
    assert (await browser.get("https://app.test/")).status == 200


async def test_an_issuer_that_leaves_out_when_somebody_logged_in(world, browser, op):
    from tests.tokens import ABSENT

    op.logged_in_at = world.clock.wall - 3600
    await browser.get("https://app.test/")
    demands(browser, StepUp((), 60))
    op.id_token = {"auth_time": ABSENT}
    response = await browser.get(PAGE)
    assert response.reason == "login-failed"


async def test_a_policy_that_is_never_content(browser, op):
    await browser.get("https://app.test/")
    wanted = StepUp(("urn:one",))
    browser.gateway.policy.decide = lambda _: Refusal(Reason.STEP_UP_REQUIRED, step_up=wanted)
    response = await browser.get(PAGE)
    assert response.reason == "login-failed"
    assert len(op.asked_to_authorize) == 1 + just_done.MOST


async def test_a_session_that_never_counts(browser, op):
    """As where a browser drops the session's cookie and keeps the others."""
    answer = None
    for _ in range(9):
        response = await browser.once(answer or PAGE)
        browser.jar.get("app.test", {}).pop("__Host-ztproxy-id", None)
        answer = response["location"]
        if answer is None:
            break
    assert response.reason == "login-failed"
    assert len(op.asked_to_authorize) == just_done.MOST


async def test_who_is_logged_out_just_after_the_login_logs_in_again(browser, op):
    await browser.get(PAGE)
    browser.jar["app.test"].pop("__Host-ztproxy-id")
    assert (await browser.get(PAGE)).status == 200


async def test_a_person_may_try_again(world, browser, op):
    await test_a_policy_that_is_never_content(browser, op)
    browser.gateway.policy.decide = lambda _: None
    assert (await browser.get(PAGE)).status == 200


async def test_a_login_that_is_over_may_be_repeated_later(world, browser, op):
    for _ in range(just_done.MOST):
        await browser.get(PAGE)
        browser.jar["app.test"].pop("__Host-ztproxy-id")
    assert (await browser.once(PAGE)).reason == "login-failed"
    world.clock.advance(15)
    browser.jar["app.test"].pop("__Host-ztproxy-id-done", None)
    assert (await browser.get(PAGE)).status == 200


async def test_scripts_get_a_challenge(browser):
    await browser.get("https://app.test/")
    demands(browser, StepUp(("urn:two",), 60))
    response = await browser.once(PAGE, headers={"Accept": "application/json", "Sec-Fetch-Mode": "cors"})
    assert (response.status, response.reason) == (401, "step-up-required")
    assert 'error="insufficient_user_authentication"' in response["www-authenticate"]
    assert 'acr_values="urn:two", max_age="60"' in response["www-authenticate"]


async def test_tokens_get_a_challenge(browser, op):
    demands(browser, StepUp(("urn:two",)))
    response = await browser.once(PAGE, headers={"Authorization": op.tokens.bearer().decode()})
    assert (response.status, response.reason) == (401, "step-up-required")
    assert response["location"] is None


async def test_what_is_configured_holds_for_every_login(world, op):
    browser = world.browser(await world.gateway(op, login={"acr_values": ["urn:two"], "max_age": "1h"}))
    response = await browser.get(PAGE)
    assert response.reason == "step-up-failed"
    assert browser.session() is None
    assert (op.asked_to_authorize[-1]["acr_values"], op.asked_to_authorize[-1]["max_age"]) == ("urn:two", "3600")
    op.acr = "urn:two"
    assert (await browser.get(PAGE)).status == 200
