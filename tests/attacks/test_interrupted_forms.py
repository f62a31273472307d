"""A form that a login interrupted is sent on by its own browser alone, only from our own page, and never by itself."""

import pytest

from tests.login_server import LoginWorld, query_of
from ztproxy.identity.login import interrupted
from ztproxy.identity.login.interrupted import read

FORM = "https://app.test/orders?x=1"
FIELDS = [("text", 'a "b" <c>\r\nd é &amp;'), ("empty", ""), ("text", "twice")]


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


async def kept(browser):
    return list(await browser.gateway.kept(b"p"))


async def test_a_form_is_sent_on_by_a_button(browser):
    page = await browser.post(FORM, FIELDS)
    assert page.status == 200
    assert b"Continue: send what you had filled in" in page.body
    assert b"<script" not in page.body
    target, fields = page.form
    assert (target, fields) == ("/orders?x=1", FIELDS)
    assert browser.gateway.forward.servers == []
    assert await kept(browser) == []
    sent = await browser.press(page)
    assert sent.status == 200
    server = browser.gateway.forward.last
    assert server.authorized.arrived.method == "POST"
    assert server.authorized.arrived.path == "/orders"
    from urllib.parse import parse_qsl

    assert parse_qsl(server.body.decode(), keep_blank_values=True) == FIELDS


async def test_its_page_lets_the_application_redirect(browser):
    page = await browser.post(FORM, FIELDS)
    assert "form-action 'self' https:" in page["content-security-policy"]
    assert page["referrer-policy"] == "strict-origin"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "https://app.test.evil.test"},
        {"Origin": "http://app.test"},
        {"Origin": "https://app.test:8443"},
        {"Origin": "https://APP.test"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": None},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Dest": "iframe"},
        {"X-Requested-With": "XMLHttpRequest"},
        {"Accept": "application/json"},
    ],
)
async def test_one_from_elsewhere_is_neither_kept_nor_sent_to_log_in(browser, headers):
    response = await browser.post(FORM, FIELDS, headers=headers)
    assert response.status == 401
    assert await kept(browser) == []


async def test_it_is_the_other_browsers_never(world, browser):
    """The page after the login is made of what this browser's own cookie names."""
    sent = await browser.once(
        FORM,
        method="POST",
        content=b"a=secret",
        headers={"Origin": "https://app.test", "Sec-Fetch-Site": "same-origin"},
    )
    assert sent.status == 303
    assert len(await kept(browser)) == 1
    thief = world.browser(browser.gateway)
    page = await thief.get(FORM)
    assert b"secret" not in page.body
    answer = (await browser.once(sent["location"]))["location"]
    assert (await thief.once(answer)).reason == "login-failed"
    assert b"secret" in (await browser.once(answer)).body


async def test_it_is_sealed_under_a_secret_of_the_browsers(browser):
    headers = {"Origin": "https://app.test", "Sec-Fetch-Site": "same-origin"}
    await browser.once(FORM, method="POST", content=b"a=secret", headers=headers)
    context = browser.gateway.identity._logins.context
    ((key, record),) = (await browser.gateway.kept(b"p")).items()
    value = record.value
    assert b"secret" not in value
    assert context.ring.open("interrupted form", key, value) is None


async def test_a_login_that_takes_too_long_loses_it(world, browser):
    headers = {"Origin": "https://app.test", "Sec-Fetch-Site": "same-origin"}
    sent = await browser.once(FORM, method="POST", content=b"a=secret", headers=headers)
    answer = (await browser.once(sent["location"]))["location"]
    world.clock.advance(600)
    assert (await browser.once(answer)).reason == "login-failed"


async def test_one_source_has_few_places(world, browser):
    headers = {"Origin": "https://app.test", "Sec-Fetch-Site": "same-origin"}
    for _ in range(interrupted.PLACES_OF_A_SOURCE + 4):
        stranger = world.browser(browser.gateway)
        assert (await stranger.once(FORM, method="POST", content=b"a=1", headers=headers)).status == 303
    assert len(await kept(browser)) <= interrupted.PLACES_OF_A_SOURCE
    page = await browser.post(FORM, FIELDS)
    assert b"could not be kept" in page.body


@pytest.mark.parametrize("octets", [interrupted.MAXIMUM + 1, 1_000_000])
async def test_one_that_is_too_large_is_said_to_be_lost(browser, octets):
    headers = {"Origin": "https://app.test", "Sec-Fetch-Site": "same-origin"}
    sent = await browser.once(FORM, method="POST", content=b"a=" + b"x" * (octets - 2), headers=headers)
    assert sent.status == 303
    assert await kept(browser) == []
    page = await browser.get(sent["location"])
    assert b"could not be kept" in page.body
    assert b"<form" not in page.body


async def test_the_largest_is_kept(browser):
    page = await browser.post(FORM, [("a", "x" * (interrupted.MAXIMUM - 2))])
    assert page.form[1] == [("a", "x" * (interrupted.MAXIMUM - 2))]


def multipart(*parts, boundary="b0"):
    said = "".join(f"--{boundary}\r\n{head}\r\n\r\n{body}\r\n" for head, body in parts) + f"--{boundary}--\r\n"
    return f"multipart/form-data; boundary={boundary}".encode(), said.encode()


def part(name, more=""):
    return f'Content-Disposition: form-data; name="{name}"{more}'


def test_a_multipart_form_without_files_is_kept():
    kind, content = multipart((part("a"), "é\r\nb"), (part("b"), ""))
    form = read([kind], content)
    assert form.fields == (("a", "é\r\nb"), ("b", ""))
    assert form.multipart


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        multipart((part("a", '; filename="x.txt"') + "\r\nContent-Type: text/plain", "x")),
        multipart((part("a", '; filename=""'), "")),
        multipart(("X: y", "no name")),
        multipart((part("a"), "x\x00y")),
        (b"multipart/form-data", b"--b0--\r\n"),
        (b"multipart/form-data; boundary=b0", b""),
        (b"multipart/form-data; boundary=b0", b"--b0\r\n" + part("a").encode() + b"\r\n\r\n\xff\r\n--b0--\r\n"),
        (b"multipart/form-data; boundary=b0\r\nX: y", b"--b0--\r\n"),
        (b"application/x-www-form-urlencoded", b"a=%ff"),
        (b"application/x-www-form-urlencoded", "a=é".encode()),
        (b"application/x-www-form-urlencoded", b"a=%00"),
        (b"application/x-www-form-urlencoded", b"&".join([b"a=1"] * 1001)),
        (b"application/json", b"{}"),
        (b"text/plain", b"a=1"),
        (b"", b"a=1"),
    ],
)
def test_what_no_page_of_ours_could_send_again_as_it_was(kind, content):
    assert read([kind], content) is None


async def test_a_form_interrupted_by_a_step_up(browser, op):
    from ztproxy.model import Reason, Refusal, StepUp

    await browser.get("https://app.test/")
    wanted = StepUp(("urn:two",))

    def decide(admitted):
        met = wanted.met(admitted.token.claims, admitted.arrived.wall)
        return None if met else Refusal(Reason.STEP_UP_REQUIRED, step_up=wanted)

    browser.gateway.policy.decide = decide
    op.acr = "urn:two"
    page = await browser.post(FORM, FIELDS)
    assert page.form[1] == FIELDS
    assert query_of(browser.visited[-2])["acr_values"] == "urn:two"
