"""Octets that come before the request was written are nobody's answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, Scene, always, exchange

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


async def test_an_answer_that_was_there_before_the_request_is_not_taken_for_it(scene):
    said = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(OK + POISON)
        said.set()
        await peer.until_closed()

    server = await scene.start(script, always(OK))
    upstreams = scene.build(server.url)
    assert (await exchange(upstreams)).content == b"ok"
    await said.wait()
    assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 2
