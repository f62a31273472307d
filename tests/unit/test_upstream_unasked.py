"""Octets that come before the request was written are nobody's answer."""

from collections.abc import AsyncIterator

import pytest

from tests.raw_server import RecordingClient, Scene, always, authorized, exchange
from ztproxy.upstream import Upstreams

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


async def poisoned(upstreams: Upstreams) -> RecordingClient:
    """An exchange whose kept connection brings an answer in the very turn in which its request is yet to be written."""
    await exchange(upstreams)
    (connection,) = upstreams._pools[0]._idle
    client = RecordingClient()
    upstreams.forward(authorized(), client).send_end()
    connection.data_received(POISON)
    return await client.done()


async def test_an_answer_before_the_request_is_not_taken_for_it(scene):
    server = await scene.start(always(OK), always(OK))
    assert (await poisoned(scene.build(server.url))).content == b"ok"
    assert len(server.peers) == 2
