"""Claim: content that a server sends where HTTP allows none, however late, never becomes the next client's response."""

from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, Scene, always, exchange

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
DECLARED = b"Content-Length: %d\r\n\r\n" % len(POISON)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ANSWERS = {
    "an answer to HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\n" + DECLARED),
    "a 304": ("GET", b"HTTP/1.1 304 Not Modified\r\n" + DECLARED),
    "a 204": ("GET", b"HTTP/1.1 204 No Content\r\n" + DECLARED),
}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


@pytest.mark.parametrize(("method", "head"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_content_announced_where_none_may_come_is_nobodys_response(scene, method, head):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(head)
        await peer.head()  # the victim's request, were the connection used again; the rest of the answer comes first
        await peer.say(POISON)
        await peer.until_closed()

    server = await scene.start(script, always(OK))
    upstreams = scene.build(server.url)
    assert (await exchange(upstreams, method=method)).ended
    victim = await exchange(upstreams)
    assert victim.content == b"ok"
    assert len(server.peers) == 2
