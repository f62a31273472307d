"""A slow reader on either side slows the other side down instead of filling memory."""

import asyncio
import gc
import resource
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, RecordingClient, Scene, authorized, exchange

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PIECE = bytes(64 * 1024)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


class Counting(RecordingClient):
    """Counts content instead of keeping it."""

    received = 0

    def send_body(self, data: bytes) -> None:
        self.received += len(data)
        self._note("")
        self.calls.clear()


async def test_a_server_that_does_not_read_pauses_the_client(scene):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(OK)
        await peer.head()
        await read.wait()
        await peer.body(total)
        await peer.say(OK)

    read = asyncio.Event()
    total = 64 * 1024 * 1024
    server = await scene.start(script)
    upstreams = scene.build(server.url)
    await exchange(upstreams)
    client = RecordingClient()
    forwarded = upstreams.forward(authorized(method="PUT", content_length=total), client)
    sent = 0
    while not client.paused and sent < total:
        forwarded.send_body(PIECE)
        sent += len(PIECE)
        await asyncio.sleep(0)
    assert sent < total / 2
    read.set()
    while sent < total:
        await client.until(lambda: not client.paused)
        forwarded.send_body(PIECE)
        sent += len(PIECE)
    forwarded.send_end()
    assert (await client.done()).content == b"ok"


async def test_content_that_comes_before_the_connection_is_bounded(scene):
    server = await scene.start(lambda peer: peer.until_closed())
    client = RecordingClient()
    forwarded = scene.build(server.url).forward(authorized(method="PUT", content_length=None), client)
    for _ in range(2):
        forwarded.send_body(PIECE)
    assert client.paused
    await client.until(lambda: not client.paused)
    forwarded.abort()


async def test_a_client_that_does_not_read_pauses_the_server(scene):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // len(PIECE)):
            await peer.say(PIECE)
            sent[0] += len(PIECE)
        await peer.until_closed()

    sent = [0]
    total = 32 * 1024 * 1024
    server = await scene.start(script)
    client = Counting()
    forwarded = scene.build(server.url).forward(authorized(), client)
    await client.until(lambda: client.received > 0)
    forwarded.pause()
    before = -1
    while before != sent[0]:  # until the sockets' buffers are full
        before = sent[0]
        await asyncio.sleep(0.02)
    assert sent[0] < total
    forwarded.resume()
    await client.done()
    assert client.received == total


async def test_a_connection_paused_by_its_client_goes_back_running(scene):
    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await peer.say(OK)

    class Pausing(RecordingClient):
        def send_body(self, data: bytes) -> None:
            super().send_body(data)
            forwarded.pause()

    server = await scene.start(script)
    upstreams = scene.build(server.url)
    await exchange(upstreams)
    client = Pausing()
    forwarded = upstreams.forward(authorized(), client)
    await client.done()
    assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 1


@pytest.mark.slow
async def test_a_gibibyte_passes_both_ways_with_memory_flat(scene):
    async def script(peer: Peer) -> None:
        await peer.head()
        left = total
        while left:
            left -= len(await peer.reader.read(256 * 1024))
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // len(PIECE)):
            await peer.say(PIECE)
        await peer.until_closed()

    total = 1 << 30
    server = await scene.start(script)
    client = Counting()
    forwarded = scene.build(server.url).forward(authorized(method="PUT", content_length=total), client)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(total // len(PIECE)):
        if client.paused:
            await asyncio.wait_for(client.until(lambda: not client.paused), 60)
        forwarded.send_body(PIECE)
    forwarded.send_end()
    await asyncio.wait_for(client._done.wait(), 60)
    assert client.received == total
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024
