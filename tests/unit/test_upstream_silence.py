"""A connection closed by its peer is noticed before a request that cannot be sent twice is written on it."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import RecordingClient, Scene, always, authorized, exchange
from ztproxy.upstream.silence import is_silent

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


@pytest.fixture
async def pair():
    """A transport, and the socket at its other end; the loop does not turn between what a test does to them."""
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    yield transport, theirs
    theirs.close()
    transport.abort()
    await asyncio.sleep(0)


async def test_one_that_is_silent_is(pair):
    assert is_silent(pair[0])


async def test_one_that_was_closed_is_not_before_the_loop_knows(pair):
    transport, theirs = pair
    theirs.close()
    assert not transport.is_closing()
    assert not is_silent(transport)


async def test_one_that_said_something_is_not(pair):
    transport, theirs = pair
    theirs.send(b"x")
    assert not is_silent(transport)


async def test_a_request_that_cannot_be_sent_twice_goes_out_on_a_connection_that_is_open(scene):
    server = await scene.start(always(OK))
    upstreams = scene.build(server.url)
    await exchange(upstreams)
    descriptor = server.peers[0].writer.get_extra_info("socket").fileno()
    with socket.socket(fileno=os.dup(descriptor)) as theirs:
        theirs.shutdown(socket.SHUT_RDWR)  # the loop has not turned since, and knows nothing of it
        assert upstreams._pools[0].idle == 1
        client = RecordingClient()
        forwarded = upstreams.forward(authorized(method="POST", content_length=3), client)
        forwarded.send_body(b"abc")
        forwarded.send_end()
    await client.done()
    assert client.content == b"ok"
    assert len(server.peers) == 2
