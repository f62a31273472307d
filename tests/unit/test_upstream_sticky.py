"""The cookie that leads a client back to its server."""

import os
import stat
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Scene, always, exchange
from ztproxy.config.upstreams import Sticky
from ztproxy.upstream.files import UnusableFileError
from ztproxy.upstream.sticky import StickyCookie
from ztproxy.upstream.sticky_secret import sticky_secret

URLS = ("http://10.0.0.1:80", "http://10.0.0.2:80")
SECRET = b"sixteen octets!!"


def cookie(**values) -> StickyCookie:
    return StickyCookie(Sticky.model_validate({"cookie": "server", **values}), SECRET, URLS)


def value(index: int) -> bytes:
    return cookie().set(index)[1].partition(b";")[0].partition(b"=")[2]


def test_it_is_secure_and_ours():
    name, field = cookie().set(0)
    assert name == b"set-cookie"
    assert field == b"server=" + value(0) + b"; Path=/; Secure; HttpOnly; SameSite=Lax"


def test_how_long_and_where_to_it_goes():
    assert cookie(lifetime="1h", same_site="Strict").set(0)[1].endswith(b"; SameSite=Strict; Max-Age=3600")


@pytest.mark.parametrize("index", [0, 1])
def test_it_names_its_server(index):
    assert cookie().named(((b"cookie", b"a=b; server=" + value(index) + b"; c=d"),)) == index
    assert cookie().named(((b"cookie", b"a=b"), (b"cookie", b"server=" + value(index)))) == index


@pytest.mark.parametrize(
    ("field", "left"),
    [
        (b"server=x", []),
        (b"a=b; server=x; c=d", [b"a=b; c=d"]),
        (b"server=x;server=y", []),
        (b"a=server; servers=1", [b"a=server; servers=1"]),
        (b"a=b;  server = x", [b"a=b"]),
        (b"server", []),
        (b"a=b", [b"a=b"]),
    ],
)
def test_what_is_left_of_a_requests_cookies(field, left):
    assert cookie().others(((b"accept", b"server=1"), (b"cookie", field))) == left


@pytest.mark.parametrize(
    ("field", "kept"),
    [
        (b"server=x", False),
        (b" server = x; Path=/", False),
        (b"=server=x", False),
        (b"server", False),
        (b"servers=x", True),
        (b"a=server=x", True),
        (b"Server=x", True),
    ],
)
def test_an_upstream_does_not_set_it(field, kept):
    fields = [(b"x", b"server=x"), (b"set-cookie", field)]
    assert cookie().keep(fields) == (fields if kept else fields[:1])


def test_the_key_is_made_once_readable_by_nobody_else(tmp_path):
    state = tmp_path / "var"
    one = sticky_secret(Sticky(), state)
    assert sticky_secret(Sticky(), state) == one
    assert len(one) == 32
    if os.name == "posix":
        assert stat.S_IMODE((state / "sticky.key").stat().st_mode) == 0o600


def test_a_key_that_is_none_is_refused(tmp_path):
    (tmp_path / "sticky.key").write_bytes(b"short")
    with pytest.raises(UnusableFileError, match=r"sticky\.key"):
        sticky_secret(Sticky(), tmp_path)


def test_a_key_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "var").write_bytes(b"a file")
    with pytest.raises(UnusableFileError, match="cannot be made"):
        sticky_secret(Sticky(), tmp_path / "var")


def test_a_secret_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("STICKY", SECRET.decode())
    assert sticky_secret(Sticky.model_validate({"secret": {"env": "STICKY"}}), tmp_path) == SECRET
    monkeypatch.setenv("STICKY", "short")
    with pytest.raises(UnusableFileError, match="16 octets"):
        sticky_secret(Sticky.model_validate({"secret": {"env": "STICKY"}}), tmp_path)


# With servers.

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nSet-Cookie: own=1\r\n\r\n"


@pytest.fixture
async def scene(monkeypatch) -> AsyncIterator[Scene]:
    monkeypatch.setenv("STICKY", SECRET.decode())
    async with Scene() as scene:
        yield scene


async def two(scene: Scene, **upstream):
    servers = [await scene.start(always(OK + name)) for name in (b"a", b"b")]
    sticky = {"cookie": "server", "secret": {"env": "STICKY"}}
    return servers, scene.build(*(server.url for server in servers), sticky=sticky, **upstream)


def given(client) -> list[bytes]:
    """Cookies of ours that a response sets."""
    return [field.partition(b";")[0] for field in client.field(b"set-cookie") if field.startswith(b"server=")]


async def test_a_client_comes_back_to_its_server(scene):
    _, upstreams = await two(scene)
    for _ in range(2):
        first = await exchange(upstreams)
        (own,) = given(first)
        assert b"own=1" in first.field(b"set-cookie")
        for _ in range(3):
            again = await exchange(upstreams, fields=((b"cookie", own),))
            assert again.content == first.content
            assert given(again) == []


async def test_the_cookie_goes_no_further_and_others_do(scene):
    servers, upstreams = await two(scene)
    await exchange(upstreams, fields=((b"cookie", b"a=1; server=x; b=2"), (b"x-other", b"y")))
    await exchange(upstreams, fields=((b"cookie", b"server=x"),))
    heads = servers[0].heads + servers[1].heads
    assert b"\r\ncookie: a=1; b=2\r\n\r\n" in heads[0]
    assert b"\r\nx-other: y\r\n" in heads[0]
    assert b"cookie" not in heads[1].lower()


async def test_a_server_that_is_away_is_replaced_and_the_client_is_told(scene):
    servers, upstreams = await two(scene, outliers={"failures": 1})
    first = await exchange(upstreams)
    (own,) = given(first)
    await servers[first.content == b"b"].stop()
    for pool in upstreams._pools:
        pool.close_idle()
    second = await exchange(upstreams, fields=((b"cookie", own),))
    assert second.content != first.content
    (other,) = given(second)
    assert other != own
    assert (await exchange(upstreams, fields=((b"cookie", other),))).content == second.content


async def test_what_a_policy_sets_is_not_mixed_with_a_clients_cookies(scene):
    server = await scene.start(always(OK + b"a"))
    sticky = {"cookie": "server", "secret": {"env": "STICKY"}}
    upstreams = scene.build(server.url, sticky=sticky, route={"policy_headers": ["Cookie"]})
    await exchange(upstreams, fields=((b"cookie", b"a=1"),), headers=((b"Cookie", b"p=1"),))
    assert server.heads[0].lower().count(b"cookie") == 1
    assert b"p=1" in server.heads[0]
