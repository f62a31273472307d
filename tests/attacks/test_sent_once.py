"""What may change something is never sent twice once an octet of it was written, however its server fails."""

from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, RecordingClient, Scene, and_wait, authorized, exchange, once

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


async def reset(peer: Peer) -> None:
    await peer.head()
    peer.reset()


async def close(peer: Peer) -> None:
    await peer.head()


FAILING = {
    "resets": reset,
    "closes": close,
    "says no HTTP": once(b"SSH-2.0-x\r\n"),
    "says half a head": once(b"HTTP/1.1 200 OK\r\nContent-"),
    "says nothing": and_wait(),
    "is busy": once(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
}
EAGER = {
    "retries": {"attempts": 9, "share": 100, "statuses": [502, 503, 504]},
    "timeouts": {"response": "100ms", "idle": "100ms"},
}


def refused_or_failed(client: RecordingClient) -> bool:
    return client.refusal is not None or client.status == 503


@pytest.mark.parametrize("how", FAILING)
@pytest.mark.parametrize(("method", "length"), [("POST", 0), ("PATCH", 0), ("POST", 3), ("PUT", 3), ("DELETE", None)])
async def test_on_a_new_connection(scene, how, method, length):
    servers = [await scene.start(FAILING[how]) for _ in range(3)]
    upstreams = scene.build(*(server.url for server in servers), **EAGER)
    client = await exchange(upstreams, None if length == 0 else b"abc", method=method, content_length=length)
    assert refused_or_failed(client)
    assert sum(len(server.heads) for server in servers) == 1


@pytest.mark.parametrize("how", FAILING)
async def test_on_a_connection_used_before(scene, how):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(OK)
        await FAILING[how](peer)

    servers = [await scene.start(script) for _ in range(3)]
    upstreams = scene.build(*(server.url for server in servers), **EAGER)
    for _ in servers:
        await exchange(upstreams)
    assert refused_or_failed(await exchange(upstreams, b"abc", method="POST", content_length=3))
    assert sum(len(server.heads) for server in servers) == 3 + 1


async def test_in_the_middle_of_its_content(scene):
    servers = [await scene.start(close) for _ in range(2)]
    client = RecordingClient()
    upstreams = scene.build(*(server.url for server in servers), **EAGER)
    forwarded = upstreams.forward(authorized(method="PUT", content_length=9), client)
    forwarded.send_body(b"half")
    assert refused_or_failed(await client.done())
    assert sum(len(server.heads) for server in servers) == 1


async def test_a_switch_of_protocols(scene):
    servers = [await scene.start(close) for _ in range(2)]
    client = await exchange(scene.build(*(server.url for server in servers), **EAGER), upgrade="websocket")
    assert refused_or_failed(client)
    assert sum(len(server.heads) for server in servers) == 1


async def test_a_response_that_began_is_never_asked_for_again(scene):
    begun = once(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    servers = [await scene.start(begun) for _ in range(2)]
    client = await exchange(scene.build(*(server.url for server in servers), **EAGER))
    assert (client.content, client.aborted is not None) == (b"half", True)
    assert sum(len(server.heads) for server in servers) == 1


async def test_what_began_with_an_interim_response_is_asked_for_nowhere_else(scene):
    async def hint_then_close(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")

    servers = [await scene.start(hint_then_close) for _ in range(2)]
    client = await exchange(scene.build(*(server.url for server in servers), **EAGER))
    assert client.refusal is not None
    assert sum(len(server.heads) for server in servers) == 1


async def test_never_twice_at_the_server_that_failed_it(scene):
    servers = [await scene.start(close) for _ in range(2)]
    await exchange(scene.build(*(server.url for server in servers), **EAGER))
    assert [len(server.heads) for server in servers] == [1, 1]
