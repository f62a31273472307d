"""Claim: no more of a request's content than its route allows gets past the edge."""

import asyncio

import msgspec
import pytest

from tests.edge import Edge
from tests.fakes import RecordingForward, RecordingPipeline, allow
from tests.raw_server import Peer, Scene
from ztproxy.model import Admitted, Reason

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def edge(**options) -> Edge:
    return Edge(forward=options.pop("forward", None) or RecordingForward(None), bodies={"route": 10}, **options)


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
async def test_a_declared_length_is_refused_before_anything_is_forwarded(expects):
    one = edge()
    answer = one.send(POST + expects + b"Content-Length: 11\r\n\r\n" + (b"" if expects else b"x" * 11))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not one.forward.servers
    assert one.told.refusal.reason is Reason.REQUEST_TOO_LARGE
    assert isinstance(one.told.last.outcome.at, Admitted)


@pytest.mark.parametrize("step", [1, 3, 1000])
async def test_chunks_are_counted_as_they_flow(step):
    one = edge()
    octets = b"4\r\nabcd\r\n" * 3
    one.send(CHUNKED)
    answer = b"".join(one.send(octets[at : at + step]) for at in range(0, len(octets), step))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close\r\n" in answer
    assert one.wire.closed
    server = one.forward.last
    assert len(server.body) <= 10
    assert server.aborted
    assert not server.ended


async def test_once_the_response_has_begun_it_is_broken_off():
    one = edge()
    one.send(CHUNKED + b"4\r\nabcd\r\n")
    one.forward.last.client.send_head(200, (), 100)
    one.send(b"8\r\nabcdefgh\r\n")
    assert one.forward.last.aborted
    assert one.forward.last.body == b"abcd"
    assert one.wire.closed
    assert one.told.last.cut


@pytest.mark.parametrize(
    "body", [b"Content-Length: 10\r\n\r\n0123456789", b"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"]
)
async def test_what_is_allowed_to_the_octet_passes(body):
    one = edge(forward=RecordingForward())
    assert one.send(POST + body).startswith(b"HTTP/1.1 200 ")
    assert one.forward.last.body == b"0123456789"


async def test_another_route_has_its_own_bound():
    one = edge(pipeline=RecordingPipeline(allow), forward=RecordingForward())
    one.site.bodies = {"elsewhere": 1}
    assert one.send(POST + b"Content-Length: 3\r\n\r\nabc").startswith(b"HTTP/1.1 200 ")


async def test_content_that_waited_for_the_decision_counts_too():
    decision = asyncio.get_running_loop().create_future()

    async def decide(arrived):
        await decision
        return allow(arrived)

    one = edge(pipeline=RecordingPipeline(decide))
    assert one.send(CHUNKED + b"b\r\nabcdefghijk\r\n") == b""
    decision.set_result(None)
    for _ in range(5):
        await asyncio.sleep(0)
    assert one.wire.taken().startswith(b"HTTP/1.1 413 ")
    assert not one.forward.servers


async def test_the_upstreams_connection_is_not_used_again():
    """Half a request stands on it: the next one would be taken for the rest."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.until_closed()

    async with Scene() as scene:
        server = await scene.start(script)
        upstreams = scene.build(server.url)
        one = edge(forward=lambda authorized, client: upstreams.forward(_on_app(authorized), client))
        one.site.bodies = {"route": 10}
        one.send(CHUNKED + b"4\r\nabcd\r\n")
        async with asyncio.timeout(5):
            while not server.heads:
                await asyncio.sleep(0)
        assert one.send(b"9\r\nabcdefghi\r\n").startswith(b"HTTP/1.1 413 ")
        await asyncio.wait_for(server.peers[0].closed.wait(), 5)
        assert all(not pool._idle for pool in upstreams._pools)


def _on_app(authorized):
    return msgspec.structs.replace(authorized, route="app")
