"""A server that breaks HTTP costs its own request and nobody else's: one client's bytes never reach another client."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, RecordingClient, Scene, always, and_wait, authorized, exchange, once
from ztproxy.model import Reason

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNK = b"2\r\nok\r\n0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PROTOCOL_ERRORS = {
    "two Content-Lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "two equal Content-Lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a list of Content-Lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "a signed Content-Length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "an empty Content-Length": b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok",
    "an overflowing Content-Length": b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok",
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK,
    "coding and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n" + CHUNK,
    "gzip and chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + CHUNK,
    "chunked twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK,
    "a coding that is not chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
    "a coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK,
    "a bad chunk size": CHUNKED + b"zz\r\nok\r\n",
    "a chunk longer than it says": CHUNKED + b"1\r\nok\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no HTTP at all": b"SSH-2.0-OpenSSH_9.6\r\n",
    "status 099": b"HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\nok",
    "status 999": b"HTTP/1.1 999 No\r\nContent-Length: 2\r\n\r\nok",
    "a NUL in a field": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "a bare CR in a field": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
    "a bare LF ending a line": b"HTTP/1.1 200 OK\nX: a\nContent-Length: 2\n\nok",
    "a folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "a switch that nobody asked for": b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nraw",
    "a switch without fields": b"HTTP/1.1 101 S\r\n\r\nraw",
    "an interim response with content": b"HTTP/1.1 103 H\r\nContent-Length: 2\r\n\r\nok" + OK,
    "an unknown interim response with content": b"HTTP/1.1 104 U\r\nContent-Length: 2\r\n\r\nok" + OK,
    "201 fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 201 + b"\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000,
    "a field of 70 kB": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "interim responses without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + OK,
}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


@pytest.mark.parametrize("response", PROTOCOL_ERRORS.values(), ids=PROTOCOL_ERRORS.keys())
async def test_what_is_not_sound_http_is_refused(scene, response):
    server = await scene.start(and_wait(response), always(OK))
    upstreams = scene.build(server.url)
    client = await exchange(upstreams)
    assert client.refusal is not None
    assert client.refusal.reason is Reason.UPSTREAM_PROTOCOL_ERROR
    assert client.calls == ["refuse"]
    assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 2


SWITCHES = {
    "to another protocol": b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "to a list": b"HTTP/1.1 101 S\r\nUpgrade: websocket, h2c\r\nConnection: Upgrade\r\n\r\n",
    "twice": b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "without Connection": b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",
    "in HTTP/1.0": b"HTTP/1.0 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
}


@pytest.mark.parametrize("response", SWITCHES.values(), ids=SWITCHES.keys())
async def test_a_switch_to_anything_but_websocket_is_refused(scene, response):
    server = await scene.start(and_wait(response))
    client = await exchange(scene.build(server.url), upgrade="websocket")
    assert client.refusal is not None
    assert client.refusal.reason is Reason.UPSTREAM_PROTOCOL_ERROR


EXTRA = {
    "a response to a request never sent": OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON",
    "the beginning of one": OK + b"H",
    "content beyond its length": OK + b"POISON",
    "content after 204": b"HTTP/1.1 204 No\r\nContent-Length: 6\r\n\r\nPOISON",
    "content after 304": b"HTTP/1.1 304 No\r\nContent-Length: 6\r\n\r\nPOISON",
    "octets after the last chunk": CHUNKED + b"2\r\nok\r\n0\r\n\r\nPOISON",
}


@pytest.mark.parametrize("response", EXTRA.values(), ids=EXTRA.keys())
async def test_octets_beyond_a_response_end_its_connection(scene, response):
    server = await scene.start(and_wait(response), always(OK))
    upstreams = scene.build(server.url)
    first = await exchange(upstreams)
    assert first.ended
    second = await exchange(upstreams)
    assert second.content == b"ok"
    assert b"POISON" not in first.content
    assert len(server.peers) == 2


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON",
        b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nP",
        b"HTTP/1.1 200 OK\r\n\r\nPOISON",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nH",
    ],
)
async def test_content_in_answer_to_head_ends_its_connection(scene, response):
    server = await scene.start(and_wait(response), always(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"))
    upstreams = scene.build(server.url)
    for _ in range(2):
        client = await exchange(upstreams, method="HEAD")
        assert (client.content, client.ended) == (b"", True)
    assert len(server.peers) == 2


async def test_octets_on_an_idle_connection_end_it(scene):
    poison = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(OK)
        await poison.wait()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON")
        await peer.until_closed()

    server = await scene.start(script, always(OK))
    upstreams = scene.build(server.url)
    await exchange(upstreams)
    poison.set()
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)
    assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 2


async def test_an_answer_before_the_request_ended_is_delivered_and_its_connection_closed(scene):
    server = await scene.start(and_wait(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nbig"), always(OK))
    upstreams = scene.build(server.url)
    client = RecordingClient()
    forwarded = upstreams.forward(authorized(method="POST", content_length=1_000), client)
    forwarded.send_body(b"x" * 10)
    await client.done()
    assert (client.status, client.content, client.ended) == (413, b"big", True)
    forwarded.send_body(b"x" * 990)
    forwarded.send_end()
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)
    assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 2


BROKEN_OFF = {
    "within its length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "before the last chunk": CHUNKED + b"4\r\nhalf\r\n",
}


@pytest.mark.parametrize("response", BROKEN_OFF.values(), ids=BROKEN_OFF.keys())
async def test_a_response_that_breaks_off_is_seen_to_be_incomplete(scene, response):
    server = await scene.start(once(response))
    client = await exchange(scene.build(server.url))
    assert client.content == b"half"
    assert client.aborted is not None
    assert not client.ended


async def test_bad_chunks_after_the_head_abort_the_response(scene):
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(CHUNKED, b"4\r\nhalf\r\n")
        await go.wait()
        await peer.say(b"zz\r\n")
        await peer.until_closed()

    server = await scene.start(script)
    client = RecordingClient()
    scene.build(server.url).forward(authorized(), client).send_end()
    await client.until(lambda: client.content == b"half")
    go.set()
    assert (await client.done()).aborted is not None


@pytest.mark.parametrize("endless", [b"1;" + b"x" * 1000, b"0\r\nX: " + b"y" * 1000], ids=["extension", "trailers"])
async def test_chunk_framing_without_end_is_cut(scene, endless):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(CHUNKED + endless)
        await go.wait()
        while True:
            await peer.say(b"x" * 1000)

    go = asyncio.Event()
    server = await scene.start(script)
    client = RecordingClient()
    scene.build(server.url).forward(authorized(), client).send_end()
    await client.until(lambda: client.status == 200)
    go.set()
    await client.done()
    assert client.aborted == f"{server.url}: chunk framing without end"


async def test_a_head_in_single_octets_is_bounded_too(scene):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.say(b"X-Some: thing\r\n" * 50)

    server = await scene.start(script)
    client = await exchange(scene.build(server.url))
    assert client.refusal is not None
    assert client.refusal.reason is Reason.UPSTREAM_PROTOCOL_ERROR


@pytest.mark.parametrize("challenge", [b"NTLM", b"Negotiate", b"Basic realm=x, negotiate", b"ntlm TlRMTVNT"])
async def test_a_connection_that_asked_for_ntlm_or_negotiate_is_never_shared(scene, challenge):
    response = b"HTTP/1.1 401 No\r\nWWW-Authenticate: " + challenge + b"\r\nContent-Length: 0\r\n\r\n"
    server = await scene.start(and_wait(response), always(OK))
    upstreams = scene.build(server.url)
    assert (await exchange(upstreams)).field(b"www-authenticate") == [challenge]
    await exchange(upstreams)
    assert len(server.peers) == 2


@pytest.mark.parametrize(("credentials", "connections"), [(b"NTLM TlRM", 2), (b"negotiate YII", 2), (b"Basic eA==", 1)])
async def test_a_connection_that_a_decision_authenticated_is_never_shared(scene, credentials, connections):
    server = await scene.start(and_wait(OK) if connections == 2 else always(OK), always(OK))
    upstreams = scene.build(server.url, route={"policy_headers": ["Authorization"]})
    await exchange(upstreams, headers=((b"Authorization", credentials),))
    await exchange(upstreams)
    assert len(server.peers) == connections


async def test_a_response_can_set_nothing_that_is_ours_or_of_its_connection(scene):
    fields = (
        b"X-Request-Id: forged\r\nX-Ztproxy-Decision: allow\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\n"
        b"Connection: keep-alive, X-Private\r\nX-Private: secret\r\nTrailer: x\r\nUpgrade: h2c\r\nX-Kept: yes\r\n"
    )
    server = await scene.start(always(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\nok"))
    client = await exchange(scene.build(server.url))
    assert client.fields == [(b"x-kept", b"yes")]


async def test_content_beyond_its_declaration_never_leaves(scene):
    """It would be read as another request."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(OK)
        received.append(await peer.until_closed())

    received: list[bytes] = []
    server = await scene.start(script)
    upstreams = scene.build(server.url)
    await exchange(upstreams)
    client = RecordingClient()
    forwarded = upstreams.forward(authorized(method="POST", content_length=5), client)
    forwarded.send_body(b"abc")
    forwarded.send_body(b"deSMUGGLED")
    await client.done()
    assert client.refusal is not None
    assert client.refusal.reason is Reason.INTERNAL_ERROR
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)
    assert b"SMUGGLED" not in received[0]


async def test_content_that_falls_short_of_its_declaration_never_ends_a_request(scene):
    """It would swallow the beginning of the next one."""
    server = await scene.start(and_wait(OK), always(OK))
    upstreams = scene.build(server.url)
    client = await exchange(upstreams, b"ab", method="POST", content_length=5)
    assert client.refusal is not None
    assert client.refusal.reason is Reason.INTERNAL_ERROR


async def test_a_client_that_leaves_takes_its_connection_with_it(scene):
    server = await scene.start(and_wait(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), always(OK))
    upstreams = scene.build(server.url)
    client = RecordingClient()
    forwarded = upstreams.forward(authorized(), client)
    await client.until(lambda: client.content == b"half")
    forwarded.abort()
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)
    assert client.calls == ["send_head", "send_body"]
    assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 2
