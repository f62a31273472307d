"""What an issuer or a browser says is text on our pages, and never anything else."""

import pytest

from tests.login_server import LoginWorld
from ztproxy.model import Reason, Refusal
from ztproxy.page import person

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
PAGE = "https://app.test/x?q=%22%3E%3Cscript%3E"


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


def harmless(response):
    assert b"<script" not in response.body
    assert b"<img" not in response.body
    policy = response["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert response["x-content-type-options"] == "nosniff"
    assert response["cache-control"] == "no-store"


@pytest.mark.parametrize("claim", ["name", "preferred_username", "email"])
async def test_a_name_on_the_pages(browser, op, claim):
    op.person = {"sub": "alice", claim: EVIL}
    await browser.get(PAGE)
    browser.gateway.policy.decide = lambda _: Refusal(Reason.POLICY_DENIED, reasons=(EVIL,))
    for url in (PAGE, "https://app.test/.well-known/ztproxy/logout"):
        response = await browser.get(url)
        harmless(response)
        assert b"&lt;script&gt;" in response.body


async def test_who_is_refused_is_told_as_whom_and_may_change_the_account(browser, op):
    await browser.get(PAGE)
    browser.gateway.policy.decide = lambda admitted: (
        Refusal(Reason.POLICY_DENIED) if admitted.token.subject == "alice" else None
    )
    response = await browser.get(PAGE)
    harmless(response)
    assert response.status == 403
    assert b"Alice Example" in response.body
    assert response.form == ("/.well-known/ztproxy/logout", [("again", "/x?q=%22%3E%3Cscript%3E")])
    op.person, op.sid = {"sub": "bob"}, "other"
    changed = await browser.press(response)
    assert (changed.status, changed.url) == (200, PAGE)
    assert op.asked_to_authorize[-1]["prompt"] == "login"


async def test_a_script_that_is_refused_learns_no_name(browser):
    await browser.get(PAGE)
    browser.gateway.policy.decide = lambda _: Refusal(Reason.POLICY_DENIED)
    response = await browser.once(PAGE, headers={"Accept": "application/json"})
    assert b"Alice" not in response.body


async def test_what_an_issuer_says_of_an_error(browser, op):
    op.returned.update(error="access_denied", error_description=EVIL)
    response = await browser.get(PAGE)
    harmless(response)
    assert b"&lt;script&gt;" in response.body


async def test_what_a_form_held(browser):
    response = await browser.post("https://app.test/form", [(EVIL, EVIL)])
    harmless(response)
    assert response.form[1] == [(EVIL, EVIL)]


async def test_no_other_page_may_frame_ours(browser):
    for name in ("logout", "logged-out", "callback"):
        response = await browser.once(f"https://app.test/.well-known/ztproxy/{name}")
        harmless(response)


@pytest.mark.parametrize(
    ("claims", "shown"),
    [
        ({"name": "  "}, "subject"),
        ({"name": 7, "email": "a@b"}, "a@b"),
        ({"name": "a\u202eb\u200b\x00\nc"}, "a b   c"),
        ({"name": "x" * 1000}, "x" * 128),
        ({}, "subject"),
    ],
)
def test_names_are_short_and_of_one_line(claims, shown):
    assert person(claims, "subject") == shown
