"""Streams with a real server behind: what holds for them in place of a request's time limits, and how they end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, RecordingClient, Scene, authorized
from tests.websocket import ASKED, switch

SHORT = {"connect": "1s", "response": "50ms", "idle": "50ms"}
PAUSE = 0.15
"""Seconds, three times what an ordinary response may stand still."""


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as made:
        yield made


def standing_still(head: bytes):
    """Answers, says nothing for some time by the proxy's own clock, goes on, ends."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(head + b"\r\n3\r\none\r\n")
        passed = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(PAUSE, passed.set_result, None)
        await passed
        await peer.say(b"3\r\ntwo\r\n0\r\n\r\n")
        await peer.until_closed()

    return script


async def read(scene: Scene, head: bytes, **streams) -> RecordingClient:
    server = await scene.start(standing_still(head))
    upstreams = scene.build(server.url, timeouts=SHORT, route={"streams": streams})
    client = RecordingClient()
    upstreams.forward(authorized(), client).send_end()
    return await client.done()


EVENTS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n"
JSON_LINES = EVENTS.replace(b"Text/Event-Stream", b"application/x-ndjson")


async def test_an_event_stream_may_stand_still_for_longer_than_a_response(scene):
    client = await read(scene, EVENTS)
    assert (client.content, client.ended) == (b"onetwo", True)


async def test_but_not_for_longer_than_its_own_limit(scene):
    client = await read(scene, EVENTS, idle="40ms")
    assert (client.content, client.ended) == (b"one", False)
    assert "idle" in (client.aborted or "")


async def test_other_responses_keep_theirs(scene):
    assert not (await read(scene, JSON_LINES)).ended
    assert not (await read(scene, EVENTS + b"Content-Type: text/event-stream\r\n")).ended


async def test_a_route_names_what_else_is_a_stream(scene):
    assert (await read(scene, JSON_LINES, media_types=["application/x-ndjson"])).ended


async def opened(scene: Scene, script, **route):
    async def switching(peer: Peer) -> None:
        await peer.head()
        await peer.say(switch())
        await script(peer)

    server = await scene.start(switching)
    client = RecordingClient()
    upstreams = scene.build(server.url, timeouts=SHORT, route=route)
    forwarded = upstreams.forward(authorized(upgrade="websocket", fields=ASKED), client)
    forwarded.send_end()
    await client.until(lambda: client.switched)
    return server, client, forwarded


async def test_the_server_may_still_answer_a_client_that_closed_its_side(scene):
    async def script(peer: Peer) -> None:
        await peer.say(b"<" + await peer.reader.read(-1) + b">")

    _, client, forwarded = await opened(scene, script)
    forwarded.send_body(b"last")
    forwarded.send_end()
    await client.done()
    assert (client.content, client.ended) == (b"<last>", True)


async def test_a_server_that_reads_too_slowly_holds_the_client_back(scene):
    go_on = asyncio.Event()
    sent = bytes(8 << 20)

    async def script(peer: Peer) -> None:
        await go_on.wait()
        await peer.body(len(sent))
        await peer.say(b"all")
        await peer.until_closed()

    _, client, forwarded = await opened(scene, script)
    forwarded.send_body(sent)
    await client.until(lambda: client.paused)
    go_on.set()
    await client.until(lambda: client.content == b"all")
    assert not client.paused
    forwarded.abort()


async def test_a_client_that_reads_too_slowly_holds_the_server_back(scene):
    async def script(peer: Peer) -> None:
        await peer.say(bytes(8 << 20))
        peer.server.heads.append(b"all written")
        await peer.until_closed()

    server, client, forwarded = await opened(scene, script)
    forwarded.pause()
    await asyncio.wait([asyncio.ensure_future(server.peers[0].closed.wait())], timeout=PAUSE)
    assert (len(server.heads), len(client.content) < 8 << 20) == (1, True)
    forwarded.resume()
    await client.until(lambda: len(client.content) == 8 << 20)
    forwarded.abort()


async def test_another_protocol_passes_where_a_route_names_it(scene):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 101 S\r\nUpgrade: TCP-X\r\nConnection: upgrade\r\n\r\nhello")
        await peer.say(b"<" + await peer.body(4) + b">")
        await peer.until_closed()

    server = await scene.start(script)
    client = RecordingClient()
    upstreams = scene.build(server.url, route={"upgrades": ["tcp-x"]})
    forwarded = upstreams.forward(authorized(upgrade="tcp-x"), client)
    forwarded.send_end()
    await client.until(lambda: client.switched)
    forwarded.send_body(b"\x00\x01\x02\x03")
    await client.until(lambda: client.content == b"hello<\x00\x01\x02\x03>")
    assert b"\r\nConnection: Upgrade\r\nUpgrade: tcp-x\r\n\r\n" in server.heads[0]
    forwarded.abort()
