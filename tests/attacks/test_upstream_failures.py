"""A server that is away, slow or gone costs a refusal in time; what may have been done is not done twice."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, RecordingClient, Scene, always, and_wait, authorized, exchange, once
from tests.websocket import ASKED, switch
from ztproxy.model import Reason

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SHORT = {"connect": "100ms", "response": "50ms", "idle": "50ms"}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


@pytest.fixture
def closed_port():
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def deaf_port():
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for filling in (first, second):  # a backlog that is full answers nobody
            filling.setblocking(False)
            filling.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def refused_for(client: RecordingClient) -> Reason:
    assert client.refusal is not None
    assert client.refusal.detail == ""
    return client.refusal.reason


async def test_nobody_listening(scene, closed_port):
    client = await exchange(scene.build(closed_port))
    assert refused_for(client) is Reason.UPSTREAM_UNREACHABLE
    assert closed_port in client.refusal.cause


async def test_a_name_that_does_not_resolve(scene):
    client = await exchange(scene.build("http://no-such-host.invalid:80", timeouts={"connect": "5s"}))
    assert refused_for(client) in (Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_TIMEOUT)


async def test_a_connection_that_does_not_come_about(scene, deaf_port):
    assert refused_for(await exchange(scene.build(deaf_port, timeouts=SHORT))) is Reason.UPSTREAM_TIMEOUT


async def test_the_next_server_is_tried_while_nothing_was_sent(scene, closed_port):
    server = await scene.start(always(OK))
    upstreams = scene.build(closed_port, server.url)
    for _ in range(4):
        client = await exchange(upstreams, b"abc", method="POST", content_length=3)
        assert client.content == b"ok"
    assert len(server.heads) == 4


async def test_all_servers_away(scene, closed_port):
    assert (
        refused_for(await exchange(scene.build(closed_port, closed_port.replace("127.0.0.1", "localhost"))))
        is Reason.UPSTREAM_UNREACHABLE
    )


async def test_no_response_in_time(scene):
    server = await scene.start(and_wait())
    client = await exchange(scene.build(server.url, timeouts=SHORT))
    assert refused_for(client) is Reason.UPSTREAM_TIMEOUT
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)


async def test_interim_responses_do_not_put_off_the_response_timeout(scene):
    async def script(peer: Peer) -> None:
        await peer.head()
        while True:
            await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
            await asyncio.sleep(0.03)

    server = await scene.start(script)
    client = await exchange(scene.build(server.url, timeouts=SHORT))
    assert refused_for(client) is Reason.UPSTREAM_TIMEOUT


async def test_content_that_stands_still(scene):
    server = await scene.start(and_wait(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
    client = await exchange(scene.build(server.url, timeouts=SHORT))
    assert (client.content, client.ended) == (b"half", False)
    assert client.aborted is not None


async def test_a_request_whose_content_stands_still(scene):
    server = await scene.start(and_wait())
    client = RecordingClient()
    forwarded = scene.build(server.url, timeouts=SHORT).forward(authorized(method="POST", content_length=9), client)
    forwarded.send_body(b"half")
    await client.done()
    assert refused_for(client) is Reason.UPSTREAM_TIMEOUT


async def test_a_websocket_that_is_silent(scene):
    server = await scene.start(and_wait(switch()))
    upstreams = scene.build(server.url, timeouts=SHORT, route={"streams": {"idle": "50ms"}})
    client = await exchange(upstreams, upgrade="websocket", fields=ASKED)
    assert client.aborted is not None


async def test_a_client_that_pauses_is_not_the_servers_fault(scene):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await more.wait()
        await peer.say(b"rest")
        await peer.until_closed()

    more = asyncio.Event()
    server = await scene.start(script)
    upstreams = scene.build(server.url, timeouts=SHORT)
    client = RecordingClient()
    forwarded = upstreams.forward(authorized(), client)
    await client.until(lambda: client.content == b"half")
    forwarded.pause()
    more.set()
    refused = await exchange(scene.build((await scene.start(and_wait())).url, timeouts=SHORT | {"response": "200ms"}))
    assert refused.refusal is not None  # so 200 ms have passed
    assert client.calls[-1] == "send_body"
    forwarded.resume()
    assert (await client.done()).content == b"halfrest"


async def closed_by_its_server(scene: Scene, script, *further):
    """A pool with one idle connection that its server closes once it is used again."""
    server = await scene.start(script, *further)
    upstreams = scene.build(server.url)
    assert (await exchange(upstreams)).content == b"ok"
    return server, upstreams


async def answer_then_close_on_use(peer: Peer) -> None:
    await peer.head()
    await peer.say(OK)
    await peer.reader.readuntil(b"\r\n\r\n")
    peer.reset()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PUT"])
async def test_a_stale_connection_is_replaced_where_asking_again_changes_nothing(scene, method):
    server, upstreams = await closed_by_its_server(scene, answer_then_close_on_use, always(OK))
    client = await exchange(upstreams, method=method)
    assert client.status == 200
    assert len(server.peers) == 2


@pytest.mark.parametrize(("method", "length"), [("POST", 0), ("PATCH", 0), ("POST", 3), ("PUT", 3)])
async def test_what_may_have_been_done_is_not_sent_again(scene, method, length):
    server, upstreams = await closed_by_its_server(scene, answer_then_close_on_use, always(OK))
    client = await exchange(upstreams, b"abc"[:length], method=method, content_length=length)
    assert refused_for(client) is Reason.UPSTREAM_UNREACHABLE
    assert len(server.peers) == 1
    assert len(server.heads) == 1


async def test_a_fresh_connection_that_is_lost_is_not_tried_again(scene):
    async def close(peer: Peer) -> None:
        await peer.head()

    server = await scene.start(close)
    client = await exchange(scene.build(server.url))
    assert refused_for(client) is Reason.UPSTREAM_UNREACHABLE
    assert len(server.peers) == 1


async def test_retrying_happens_once(scene):
    async def close(peer: Peer) -> None:
        await peer.head()

    server, upstreams = await closed_by_its_server(scene, answer_then_close_on_use, close)
    client = await exchange(upstreams)
    assert refused_for(client) is Reason.UPSTREAM_UNREACHABLE
    assert len(server.peers) == 2


async def test_retrying_happens_once_even_where_another_server_has_a_stale_connection(scene):
    first = await scene.start(answer_then_close_on_use)
    second = await scene.start(answer_then_close_on_use, always(OK))
    upstreams = scene.build(first.url, second.url, retries={"attempts": 1})
    for _ in range(2):
        await exchange(upstreams)
    first._listener.close()
    client = await exchange(upstreams)
    assert refused_for(client) is Reason.UPSTREAM_UNREACHABLE
    assert [len(server.peers) for server in (first, second)] == [1, 1]


async def test_a_response_begun_is_never_asked_for_again(scene):
    async def begin_then_close(peer: Peer) -> None:
        await peer.head()
        await peer.say(OK)
        await peer.head()
        await peer.say(b"HTTP/1.1 2")

    server, upstreams = await closed_by_its_server(scene, begin_then_close, always(OK))
    client = await exchange(upstreams)
    assert refused_for(client) is Reason.UPSTREAM_PROTOCOL_ERROR
    assert len(server.peers) == 1


async def test_an_idle_connection_closed_by_its_server_is_noticed_before_writing(scene):
    server, upstreams = await closed_by_its_server(scene, once(OK), always(OK))
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)
    pool = upstreams._pools[0]
    async with asyncio.timeout(5):
        while pool._idle:
            await asyncio.sleep(0)
    client = await exchange(upstreams, b"abc", method="POST", content_length=3)
    assert client.content == b"ok"
    assert len(server.peers) == 2


async def test_a_client_that_leaves_while_connecting_leaves_nothing_behind(scene, deaf_port):
    upstreams = scene.build(deaf_port, timeouts=SHORT)
    client = RecordingClient()
    forwarded = upstreams.forward(authorized(), client)
    await asyncio.sleep(0)
    forwarded.abort()
    assert refused_for(await exchange(upstreams)) is Reason.UPSTREAM_TIMEOUT
    assert client.calls == []


async def test_a_client_that_is_stalled_from_the_start_is_waited_for(scene):
    server = await scene.start(and_wait(OK))
    upstreams = scene.build(server.url, timeouts=SHORT)
    client = RecordingClient()
    forwarded = upstreams.forward(authorized(), client)
    forwarded.pause()
    forwarded.send_end()
    silent = await scene.start(and_wait())
    await exchange(scene.build(silent.url, timeouts=SHORT | {"response": "200ms"}))
    assert client.calls == []
    forwarded.resume()
    assert (await client.done()).content == b"ok"
