"""A client chooses no server by its cookie, learns none from it, and an upstream writes none in our name."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, Scene, always, exchange

SECRET = b"sixteen octets!!"
NAME = b"__Host-ztproxy-server"


@pytest.fixture
async def scene(monkeypatch) -> AsyncIterator[Scene]:
    monkeypatch.setenv("STICKY", SECRET.decode())
    async with Scene() as scene:
        yield scene


def answer(name: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", b"Content-Length: 1", *lines, b"", name))


async def two(scene: Scene, *lines: bytes):
    servers = [await scene.start(always(answer(name, *lines))) for name in (b"a", b"b")]
    return servers, scene.build(*(server.url for server in servers), sticky={"secret": {"env": "STICKY"}})


def ours(client) -> list[bytes]:
    return [field.partition(b";")[0] for field in client.field(b"set-cookie") if NAME in field]


def encoded(digest: bytes) -> bytes:
    return base64.urlsafe_b64encode(digest)[:22]


FORGED = {
    "its url": lambda url, _: url,
    "its index": lambda _url, _: b"1",
    "a hash without the key": lambda url, _: encoded(hashlib.sha256(b"ztproxy sticky server\0" + url).digest()),
    "a hash with another key": lambda url, _: encoded(
        hmac.digest(b"other", b"ztproxy sticky server\0" + url, "sha256")
    ),
    "cut short": lambda _url, true: true[:-1],
    "longer": lambda _url, true: true + b"=",
    "in quotes": lambda _url, true: b'"' + true + b'"',
    "empty": lambda _url, _: b"",
    "twice": lambda _url, true: true + b"; " + NAME + b"=" + true,
    "another upstream's address": lambda _url, _: b"http://169.254.169.254",
    "very long": lambda _url, true: b"x" * 20_000 + true,
}


@pytest.mark.parametrize("how", FORGED)
async def test_what_was_not_made_here_leads_nowhere(scene, how):
    servers, upstreams = await two(scene)
    by_server = {}
    for _ in range(2):
        client = await exchange(upstreams)
        by_server[client.content] = ours(client)[0].partition(b"=")[2]
    forged = FORGED[how](servers[1].url.encode(), by_server[b"b"])
    served = [await exchange(upstreams, fields=((b"cookie", NAME + b"=" + forged),)) for _ in range(4)]
    assert [client.content for client in served] == [b"a", b"b", b"a", b"b"]
    assert all(len(ours(client)) == 1 for client in served)  # and it gets one that counts


async def test_it_tells_nothing_of_the_servers(scene):
    servers, upstreams = await two(scene)
    value = ours(await exchange(upstreams))[0].partition(b"=")[2]
    for known in (servers[0].url.encode(), str(servers[0].port).encode(), b"127.0.0.1"):
        assert known not in value
        assert base64.urlsafe_b64encode(known).rstrip(b"=")[:-1] not in value
        assert encoded(hashlib.sha256(known).digest()) != value


@pytest.mark.parametrize("line", [NAME + b"=x", b" " + NAME + b" =x; Path=/", b"=" + NAME + b"=x"])
async def test_an_upstream_writes_none_in_our_name(scene, line):
    _, upstreams = await two(scene, b"Set-Cookie: " + line, b"Set-Cookie: own=1")
    client = await exchange(upstreams)
    (cookie,) = ours(client)
    assert len(cookie.partition(b"=")[2]) == 22
    assert b"own=1" in client.field(b"set-cookie")
    again = await exchange(upstreams, fields=((b"cookie", cookie),))
    assert ours(again) == []


async def test_nor_in_an_interim_response(scene):
    async def hint(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: " + NAME + b"=x\r\nLink: </a>\r\n\r\n", answer(b"a"))

    server = await scene.start(hint)
    client = await exchange(scene.build(server.url, sticky={"secret": {"env": "STICKY"}}))
    assert client.interims == [(103, [(b"link", b"</a>")])]
    assert len(ours(client)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        ((b"cookie", NAME + b"=x"),),
        ((b"cookie", b"a=1;" + NAME + b"=x;" + NAME + b"=y"),),
        ((b"cookie", b"a=1"), (b"cookie", b" " + NAME + b" = x ; b=2")),
        ((b"cookie", NAME),),
    ],
)
async def test_it_reaches_no_upstream(scene, fields):
    servers, upstreams = await two(scene)
    await exchange(upstreams, fields=fields)
    assert NAME not in servers[0].heads[0]
    assert (b"a=1" in servers[0].heads[0]) == (b"a=1" in b"".join(value for _, value in fields))
