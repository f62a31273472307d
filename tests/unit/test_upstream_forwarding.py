"""Exchanges with well-behaved servers: what goes out, what comes back, and what is used again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, RecordingClient, Scene, always, and_wait, authorized, exchange, once
from tests.websocket import ACCEPT, ASKED, KEY, switch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


@pytest.fixture
def start(scene: Scene):
    return scene.start


@pytest.fixture
def build(scene: Scene):
    return scene.build


async def test_a_response_is_handed_over_whole(start, build):
    server = await start(always(b"HTTP/1.1 201 Created\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello"))
    client = RecordingClient()
    forwarded = build(server.url).forward(authorized(), client)
    forwarded.send_end()
    await client.done()
    assert (client.status, client.fields, client.length, client.content) == (201, [(b"x-one", b"1")], 5, b"hello")
    assert forwarded.name == server.url
    assert forwarded.duration is not None
    assert forwarded.duration > 0


async def test_a_connection_is_used_again(start, build):
    server = await start(always(OK))
    upstreams = build(server.url)
    for _ in range(5):
        assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 1


async def test_the_connection_that_became_idle_last_is_used_first(start, build):
    server = await start(always(OK))
    upstreams = build(server.url)
    await asyncio.gather(*(exchange(upstreams) for _ in range(3)))
    assert len(server.peers) == 3
    for _ in range(4):
        await exchange(upstreams)
    assert len(server.peers) == 3


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_the_server_will_close_is_not_used_again(start, build, response):
    server = await start(and_wait(response))
    upstreams = build(server.url)
    for _ in range(2):
        assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 2


async def test_content_that_ends_with_the_connection_is_delivered(start, build):
    server = await start(once(b"HTTP/1.0 200 OK\r\n\r\n", b"un", b"til"))
    client = await exchange(build(server.url))
    assert (client.content, client.length, client.ended) == (b"until", None, True)


async def test_chunks_are_unframed_and_trailers_dropped(start, build):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = await start(always(chunked, b"3;x=y\r\nabc\r\n", b"2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"))
    upstreams = build(server.url)
    for _ in range(2):
        client = await exchange(upstreams)
        assert (client.content, client.length, client.fields) == (b"abcde", None, [])
    assert len(server.peers) == 1


@pytest.mark.parametrize(
    ("method", "response", "length", "connections"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 500, 2),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, 1),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", None, 1),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None, 2),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None, 1),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", None, 1),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", 500, 2),
    ],
)
async def test_responses_without_content_end_with_their_head(scene, method, response, length, connections):
    server = await scene.start(always(response))
    upstreams = scene.build(server.url)
    for _ in range(2):
        client = await exchange(upstreams, method=method)
        assert (client.content, client.length, client.ended) == (b"", length, True)
    assert len(server.peers) == connections


async def test_interim_responses_are_passed_on_but_for_100(start, build):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"
    server = await start(always(b"HTTP/1.1 100 Continue\r\n\r\n", hints, hints + OK))
    upstreams = build(server.url)
    for _ in range(2):
        client = await exchange(upstreams)
        assert client.interims == [(103, [(b"link", b"</a>")])] * 2
        assert client.calls[:3] == ["send_interim", "send_interim", "send_head"]
        assert (client.status, client.fields, client.content) == (200, [], b"ok")
    assert len(server.peers) == 1


async def test_an_interim_response_does_not_wait_for_the_final_one(start, build):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await peer.until_closed()

    server = await start(script)
    client = RecordingClient()
    exchange_ = build(server.url).forward(authorized(), client)
    exchange_.send_end()
    await client.until(lambda: client.interims)
    assert client.status is None
    exchange_.abort()


async def test_head_and_content_leave_in_one_write(start, build):
    seen = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.reader.read(65536))
            await peer.say(OK)

    server = await start(script)
    upstreams = build(server.url)
    for _ in range(2):
        await exchange(upstreams, b"abc", method="POST", content_length=3)
    assert [request.endswith(b"Content-Length: 3\r\n\r\nabc") for request in seen] == [True, True]


async def test_content_of_unknown_length_is_sent_in_chunks(start, build):
    seen = []

    async def script(peer: Peer) -> None:
        await peer.head()
        seen.append(await peer.reader.readuntil(b"0\r\n\r\n"))
        await peer.say(OK)

    server = await start(script)
    client = RecordingClient()
    forwarded = build(server.url).forward(authorized(method="POST", content_length=None), client)
    forwarded.send_body(b"hello ")
    await asyncio.sleep(0)
    forwarded.send_body(b"world")
    forwarded.send_end()
    await client.done()
    assert seen == [b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"]
    assert b"Transfer-Encoding: chunked" in server.heads[0]


async def test_a_head_does_not_wait_for_its_content(start, build):
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        arrived.set()
        await peer.body(3)
        await peer.say(OK)

    server = await start(script)
    client = RecordingClient()
    forwarded = build(server.url).forward(authorized(method="POST", content_length=3), client)
    await asyncio.wait_for(arrived.wait(), 5)
    forwarded.send_body(b"abc")
    forwarded.send_end()
    assert (await client.done()).content == b"ok"


async def test_servers_take_turns(start, build):
    servers = [await start(always(OK)) for _ in range(3)]
    upstreams = build(*(server.url for server in servers))
    for _ in range(6):
        await exchange(upstreams)
    assert [len(server.heads) for server in servers] == [2, 2, 2]


async def test_a_redirect_is_handed_over_not_followed(start, build):
    elsewhere = await start(always(OK))
    location = f"Location: {elsewhere.url}/\r\n".encode()
    server = await start(always(b"HTTP/1.1 302 Found\r\n" + location + b"Content-Length: 0\r\n\r\n"))
    client = await exchange(build(server.url))
    assert (client.status, client.field(b"location")) == (302, [f"{elsewhere.url}/".encode()])
    assert elsewhere.heads == []


async def test_encoded_content_is_handed_over_as_it_is(start, build):
    server = await start(
        always(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x00\x01")
    )
    client = await exchange(build(server.url))
    assert (client.content, client.field(b"content-encoding")) == (b"\x1f\x8b\x00\x01", [b"gzip"])


async def test_server_sent_events_pass_as_they_come(start, build):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in (b"data: 1\n\n", b"data: 2\n\n"):
            await peer.say(b"9\r\n" + event + b"\r\n")
            await asked.wait()
            asked.clear()
        await peer.say(b"0\r\n\r\n")

    asked = asyncio.Event()
    server = await start(script)
    client = RecordingClient()
    build(server.url).forward(authorized(), client).send_end()
    for expected in (b"data: 1\n\n", b"data: 1\n\ndata: 2\n\n"):
        await client.until(lambda expected=expected: client.content == expected)
        asked.set()
    assert (await client.done()).ended


async def test_a_switch_to_websocket_lets_octets_through_both_ways(start, build):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(switch(b"X: y").replace(b"websocket", b"WebSocket") + b"first")
        await peer.say(b"<" + await peer.body(5) + b">")
        await peer.until_closed()

    server = await start(script)
    client = RecordingClient()
    forwarded = build(server.url).forward(authorized(upgrade="websocket", fields=ASKED), client)
    forwarded.send_end()
    await client.until(lambda: client.switched)
    forwarded.send_body(b"hello")
    await client.until(lambda: client.content == b"first<hello>")
    assert client.fields == [(b"sec-websocket-accept", ACCEPT), (b"x", b"y")]
    forwarded.send_end()
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in server.heads[0]
    assert b"sec-websocket-key: " + KEY + b"\r\n" in server.heads[0]


async def test_a_server_that_closes_after_a_switch_ends_the_exchange(start, build):
    server = await start(once(switch() + b"bye"))
    client = RecordingClient()
    build(server.url).forward(authorized(upgrade="websocket", fields=ASKED), client).send_end()
    await client.done()
    assert (client.content, client.ended) == (b"bye", True)


async def test_closing_ends_what_is_under_way(start, build):
    server = await start(and_wait())
    upstreams = build(server.url)
    client = RecordingClient()
    upstreams.forward(authorized(), client)
    await upstreams.close()
    await client.done()
    assert client.refusal is not None
