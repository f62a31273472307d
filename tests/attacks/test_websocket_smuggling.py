"""A switch of protocols carries no request that nobody judged, whichever side lies about it.

What is claimed: octets pass unread only after a handshake that both sides have shown to understand; whatever a client
sends beside a handshake that came to nothing is nobody's, and no connection that saw one serves another client.
"""

from collections.abc import AsyncIterator

import pytest

from tests.edge import Edge, get
from tests.fakes import RecordingForward
from tests.raw_server import Peer, RecordingClient, Scene, always, and_wait, authorized, exchange
from tests.websocket import ASKED, KEY, switch
from ztproxy.edge.cleaning import Cleaning
from ztproxy.model import Reason

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HANDSHAKE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: " + KEY, b"Sec-WebSocket-Version: 13")
NOT_AGREED = {
    "no accept": b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "another accept": switch(accept=b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "the key given back": switch(accept=KEY),
    "a subprotocol": switch(b"Sec-WebSocket-Protocol: admin"),
    "an extension": switch(b"Sec-WebSocket-Extensions: x-evil"),
    "another protocol": switch().replace(b"websocket", b"h2c"),
}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as made:
        yield made


@pytest.mark.parametrize("response", NOT_AGREED.values(), ids=NOT_AGREED.keys())
async def test_a_101_that_agrees_to_something_else_opens_no_tunnel(scene, response):
    server = await scene.start(and_wait(response + b"raw"), always(OK))
    upstreams = scene.build(server.url)
    client = await exchange(upstreams, upgrade="websocket", fields=ASKED)
    assert client.refusal is not None
    assert client.refusal.reason is Reason.UPSTREAM_PROTOCOL_ERROR
    assert client.calls == ["refuse"]
    assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 2


async def test_a_101_that_nobody_asked_for_opens_no_tunnel(scene):
    server = await scene.start(and_wait(switch() + b"raw"))
    client = await exchange(scene.build(server.url), fields=ASKED)
    assert client.calls == ["refuse"]


async def test_what_follows_a_handshake_waits_for_the_101(scene):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(switch())
        await peer.until_closed()

    server = await scene.start(script)
    client = RecordingClient()
    forwarded = scene.build(server.url).forward(authorized(upgrade="websocket", fields=ASKED), client)
    forwarded.send_end()
    await client.until(lambda: client.switched)
    assert len(server.heads) == 1
    assert server.heads[0].endswith(b"\r\n\r\n")


async def test_octets_before_the_101_reach_nobody_when_it_does_not_come():
    edge = Edge(forward=RecordingForward(None))
    edge.send(get(b"/chat", *HANDSHAKE) + get(b"/smuggled"))
    edge.send(get(b"/smuggled", b"Content-Length: 0"))
    server = edge.forward.last
    assert (server.body, [arrived.path for arrived in edge.arrived]) == (b"", ["/chat"])
    server.respond(200)
    edge.send(get(b"/smuggled"))
    assert [arrived.path for arrived in edge.arrived] == ["/chat"]
    assert edge.wire.closed
    assert server.body == b""


async def test_a_server_that_declines_serves_nobody_else_on_that_connection(scene):
    server = await scene.start(and_wait(OK), always(OK))
    upstreams = scene.build(server.url)
    declined = await exchange(upstreams, upgrade="websocket", fields=ASKED)
    assert (declined.status, declined.content) == (200, b"ok")
    assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 2


@pytest.mark.parametrize("protocol", [b"h2c", b"HTTP/2.0", b"TLS/1.0", b"tcp-x", b"websocket, h2c"])
async def test_nothing_but_what_a_route_names_is_asked_for(protocol):
    edge = Edge(cleaning=Cleaning.of())
    answer = edge.send(get(b"/", b"Connection: Upgrade", b"Upgrade: " + protocol) + get(b"/smuggled"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert edge.arrived == []
    assert edge.wire.closed
