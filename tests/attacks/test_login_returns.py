"""People are sent to log in, scripts never; and whoever comes back goes to a page of the host that they were on."""

import json

import pytest

from tests.login_server import NAVIGATION, LoginWorld, query_of
from tests.websocket import KEY
from ztproxy.identity.login.returning import START, is_local, local
from ztproxy.identity.login.transaction import begun, recalled, remembered
from ztproxy.model import StepUp
from ztproxy.store.ring import Ring

PAGE = "https://app.test/x?y=1"


@pytest.fixture
async def world(tmp_path):
    async with LoginWorld(tmp_path) as world:
        yield world


@pytest.fixture
async def browser(world):
    return world.browser(await world.gateway(await world.op()))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": None, "Sec-Fetch-Mode": None, "Sec-Fetch-Dest": None},
        {"Accept": "text/html"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_person_is_sent_to_log_in(browser, headers, method):
    response = await browser.once(PAGE, method=method, headers=headers)
    assert response.status == 303
    assert response["cache-control"] == "no-store"
    assert query_of(response["location"])["redirect_uri"] == "https://app.test/.well-known/ztproxy/callback"


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "application/json"},
        {"Accept": "*/*"},
        {"Accept": None},
        {"Accept": "application/json, text/html;q=0.5"},
        {"Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Dest": "frame"},
        {"Sec-Fetch-Dest": "object"},
        {"Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Mode": None},
        {"Sec-Fetch-Dest": None},
        {"X-Requested-With": "XMLHttpRequest"},
        {"Sec-Purpose": "prefetch"},
        {"Purpose": "prefetch"},
    ],
)
async def test_a_script_never_is(browser, headers):
    response = await browser.once(PAGE, headers=headers)
    assert (response.status, response.reason) == (401, "login-required")
    assert response["location"] is None
    assert response.set_cookies == []
    assert response["www-authenticate"].startswith('Bearer realm="ztproxy"')
    assert "error=" not in response["www-authenticate"]


async def test_a_script_is_told_where_to_log_in(browser):
    response = await browser.once(PAGE, headers={"Accept": "application/json"})
    assert "https://app.test" in json.loads(response.body)["detail"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "POST"])
async def test_other_methods_never_are(browser, method):
    response = await browser.once(PAGE, method=method, headers={"Content-Length": "0"})
    assert (response.status, response.reason) == (401, "login-required")


async def test_a_websocket_never_is(browser):
    response = await browser.gateway.ask(
        b"GET /x HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
    )
    assert (response.status, response.reason) == (401, "login-required")


async def test_a_token_that_does_not_hold_is_no_reason_to_log_in(browser):
    response = await browser.once(PAGE, headers={"Authorization": "Bearer x"})
    assert (response.status, response.reason) == (401, "token-malformed")


async def test_over_http_nobody_logs_in(world, browser):
    from tests.fakes import PEER
    from ztproxy.model import Connection

    plain = Connection(listener=PEER.listener, scheme="http", peer="192.0.2.7", peer_port=1, local_port=2)
    lines = "".join(f"{name}: {value}\r\n" for name, value in NAVIGATION.items())
    response = await browser.gateway.ask(f"GET /x HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n".encode(), plain)
    assert (response.status, response.reason) == (403, "login-failed")


ELSEWHERE = [
    "//evil.test", "/\\evil.test", "\\/evil.test", "\\\\evil.test", "https:evil.test", "https://evil.test",
    "http:/evil.test", "javascript:alert(1)", "data:text/html,x", "evil.test", "", "?x", "#x", "/x\r\nSet-Cookie: a=b",
    "/x\n", "/\t/evil.test", "\t//evil.test", " //evil.test", "/x y", "/\x00", "/é", "/\u2028", "///evil.test",
    "/.well-known/ztproxy/callback", "/.well-known/ztproxy/logout", "/" + "a" * 2000, "/x\\y", "/\x7f",
]  # fmt: skip


@pytest.mark.parametrize("address", ELSEWHERE)
def test_what_could_be_read_as_another_place_is_none_to_return_to(address):
    assert not is_local(address)
    assert local(address) == START


@pytest.mark.parametrize(
    "address", ["/", "/x", "/x/", "/x?y=//evil.test", "/x?u=https://a/b", "/%5Cevil", "/?x", "/a:b@c"]
)
def test_addresses_of_this_host_are(address):
    assert is_local(address)


@pytest.mark.parametrize("parameter", ["rd", "redirect", "return", "returns", "next", "url", "page", "again", "state"])
async def test_no_parameter_says_where_to_return_to(browser, parameter):
    response = await browser.get(f"https://app.test/x?{parameter}=https://evil.test/")
    assert response.url == f"https://app.test/x?{parameter}=https://evil.test/"
    logout = await browser.once(f"https://app.test/.well-known/ztproxy/logged-out?{parameter}=https://evil.test/")
    assert b"evil" not in logout.body


@pytest.mark.parametrize("target", ["//evil.test/x", "/\\evil.test", "/%5cevil.test/..", "/x//y"])
async def test_ambiguous_targets_are_refused_before_any_login(browser, target):
    response = await browser.once(f"https://app.test{target}")
    assert response.status == 400


async def test_the_way_back_names_scheme_and_host(browser):
    sent = await browser.once("https://app.test/%2Fevil.test/?//evil.test")
    if sent.status == 303:
        answer = (await browser.once(sent["location"]))["location"]
        assert (await browser.once(answer))["location"].startswith("https://app.test/")


@pytest.mark.parametrize("host", ["evil.test", "APP.test.evil.test", "app.test.", "app.test@evil.test"])
async def test_a_host_that_is_not_ours_begins_no_login(browser, host):
    lines = "".join(f"{name}: {value}\r\n" for name, value in NAVIGATION.items())
    response = await browser.gateway.ask(f"GET /x HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode())
    assert response.status in (400, 404)
    assert response["location"] is None


def test_a_login_is_of_one_host_and_one_ring():
    ring, other = Ring([b"1" * 32]), Ring([b"2" * 32])
    made = begun(
        issuer="https://i.test", client_id="c", route="r", host="a.test", returns="/", now=100.0, wanted=StepUp()
    )
    pair = remembered(ring, made, (), 100.0)[0][1].split(b";")[0]
    cookies = (tuple(pair.split(b"=", 1)),)
    assert recalled(ring, made.state, "a.test", cookies, 100.0) == made
    assert recalled(ring, made.state, "b.test", cookies, 100.0) is None
    assert recalled(ring, made.state, "a.test:8443", cookies, 100.0) is None
    assert recalled(other, made.state, "a.test", cookies, 100.0) is None
    assert recalled(ring, made.state, "a.test", cookies, 99.0) is None
    assert recalled(ring, made.state[:-1] + "_", "a.test", cookies, 100.0) is None
