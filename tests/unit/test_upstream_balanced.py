"""Exchanges with several servers: another one is asked where that is safe, and places are given back."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, RecordingClient, Scene, always, and_wait, authorized, exchange, once
from tests.websocket import ASKED, switch
from ztproxy.model import Reason

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


@pytest.fixture
def closed_port():
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


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
    "says too much": and_wait(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    "says nothing": and_wait(),
}


@pytest.mark.parametrize("how", FAILING)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_where_one_fails_another_is_asked(scene, how, method):
    bad, good = await scene.start(FAILING[how]), await scene.start(always(OK))
    upstreams = scene.build(bad.url, good.url, timeouts={"response": "100ms"})
    client = await exchange(upstreams, method=method)
    assert (client.status, client.refusal) == (200, None)
    assert (len(bad.heads), len(good.heads)) == (1, 1)
    first, second = upstreams.view()
    assert (first.failures, second.failures, first.retries, second.retries) == (1, 0, 1, 0)
    assert (first.in_flight, second.in_flight) == (0, 0)


async def test_each_server_is_asked_once(scene):
    bad = [await scene.start(close) for _ in range(3)]
    client = await exchange(scene.build(*(server.url for server in bad), retries={"attempts": 9}))
    assert client.refusal is not None
    assert client.refusal.reason is Reason.UPSTREAM_UNREACHABLE
    assert [len(server.heads) for server in bad] == [1, 1, 1]


async def test_attempts_are_bounded(scene):
    bad = [await scene.start(close) for _ in range(3)]
    await exchange(scene.build(*(server.url for server in bad), retries={"attempts": 1}))
    assert sum(len(server.heads) for server in bad) == 2


async def test_no_attempt_at_all(scene, closed_port):
    good = await scene.start(always(OK))
    client = await exchange(scene.build(closed_port, good.url, retries={"attempts": 0}))
    assert client.refusal is not None


async def test_the_budget_bounds_them_all_together(scene):
    bad, good = await scene.start(close), await scene.start(always(OK))
    upstreams = scene.build(bad.url, good.url, retries={"share": 0, "minimum": 0})
    client = await exchange(upstreams)
    assert client.refusal is not None
    assert upstreams.queues()[0].retries_denied == 1


async def test_the_budget_is_given_back(scene):
    bad, good = await scene.start(close), await scene.start(always(OK))
    upstreams = scene.build(bad.url, good.url, retries={"share": 0, "minimum": 1}, outliers={"failures": 1000})
    for _ in range(6):
        assert (await exchange(upstreams)).status == 200
    assert upstreams.view()[0].retries == 3


async def test_a_response_that_counts_as_a_failure_is_asked_for_elsewhere(scene):
    busy, good = await scene.start(always(BUSY)), await scene.start(always(OK))
    upstreams = scene.build(busy.url, good.url, retries={"statuses": [503]})
    assert (await exchange(upstreams)).content == b"ok"
    client = await exchange(scene.build(busy.url, good.url))
    assert (client.status, client.content) == (503, b"busy")


async def test_where_all_say_so_it_is_the_answer(scene):
    busy = [await scene.start(always(BUSY)) for _ in range(2)]
    client = await exchange(scene.build(*(server.url for server in busy), retries={"statuses": [503]}))
    assert (client.status, client.content) == (503, b"busy")


async def test_one_that_fails_is_left_out(scene, closed_port):
    good = await scene.start(always(OK))
    upstreams = scene.build(closed_port, good.url, outliers={"failures": 2})
    for _ in range(10):
        assert (await exchange(upstreams)).content == b"ok"
    first, second = upstreams.view()
    assert first.ejected_until is not None
    assert (first.requests, first.failures) == (2, 2)
    assert (second.requests, second.ejected_until) == (10, None)


async def test_a_response_that_breaks_off_counts_against_its_server(scene):
    bad = await scene.start(once(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
    good = await scene.start(always(OK))
    upstreams = scene.build(bad.url, good.url, outliers={"failures": 1})
    client = await exchange(upstreams)
    assert (client.content, client.aborted is not None) == (b"half", True)
    assert upstreams.view()[0].ejected_until is not None


async def test_what_clients_do_does_not_count_against_a_server(scene):
    waiting, good = await scene.start(and_wait()), await scene.start(always(OK))
    upstreams = scene.build(
        waiting.url, good.url, outliers={"failures": 1}, timeouts={"idle": "50ms", "response": "50ms"}
    )
    gone = RecordingClient()
    forwarded = upstreams.forward(authorized(), gone)
    await asyncio.sleep(0)
    forwarded.abort()
    await exchange(upstreams)
    stalled = RecordingClient()
    upstreams.forward(authorized(method="POST", content_length=9), stalled).send_body(b"half")
    assert (await stalled.done()).refusal.reason is Reason.UPSTREAM_TIMEOUT
    assert [(state.failures, state.ejected_until, state.in_flight) for state in upstreams.view()] == [(0, None, 0)] * 2


async def test_a_stale_connection_is_nobodys_fault(scene):
    async def answer_then_close_on_use(peer: Peer) -> None:
        await peer.head()
        await peer.say(OK)
        await peer.head()

    servers = [await scene.start(answer_then_close_on_use, always(OK)) for _ in range(2)]
    upstreams = scene.build(*(server.url for server in servers))
    for _ in range(4):
        assert (await exchange(upstreams)).content == b"ok"
    assert [state.failures for state in upstreams.view()] == [0, 0]


async def held(scene: Scene, **upstream):
    """A server that answers when told, and one exchange under way there."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await told.wait()
            await peer.say(OK)

    told = asyncio.Event()
    server = await scene.start(script)
    upstreams = scene.build(server.url, maximum_requests=1, **upstream)
    client = RecordingClient()
    forwarded = upstreams.forward(authorized(), client)
    forwarded.send_end()
    return told, server, upstreams, client, forwarded


async def test_who_finds_no_room_waits_and_goes_in_turn(scene):
    told, server, upstreams, client, _ = await held(scene)
    others = [RecordingClient() for _ in range(3)]
    for number, other in enumerate(others):
        upstreams.forward(authorized(path=f"/{number}"), other).send_end()
    assert upstreams.queues()[0].waiting == 3
    told.set()
    for one in (client, *others):
        assert (await one.done()).content == b"ok"
    assert [head.split()[1] for head in server.heads] == [b"/x", b"/0", b"/1", b"/2"]
    assert len(server.peers) == 1


async def test_content_of_a_request_that_waits_is_kept(scene):
    bodies = []

    async def script(peer: Peer) -> None:
        await peer.head()
        await told.wait()
        await peer.say(OK)
        await peer.head()
        bodies.append(await peer.body(6))
        await peer.say(OK)

    told = asyncio.Event()
    server = await scene.start(script)
    upstreams = scene.build(server.url, maximum_requests=1)
    first, second = RecordingClient(), RecordingClient()
    upstreams.forward(authorized(), first).send_end()
    forwarded = upstreams.forward(authorized(method="POST", content_length=6), second)
    forwarded.send_body(b"abc")
    told.set()
    await first.done()
    forwarded.send_body(b"def")
    forwarded.send_end()
    assert (await second.done()).content == b"ok"
    assert bodies == [b"abcdef"]


async def test_who_waits_too_long_is_refused(scene):
    told, _, upstreams, client, _ = await held(scene, queue={"wait": "50ms"})
    refused = await exchange(upstreams)
    assert refused.refusal is not None
    assert refused.refusal.reason is Reason.OVERLOADED
    assert refused.refusal.fields == ((b"retry-after", b"1"),)
    told.set()
    assert (await client.done()).content == b"ok"
    assert upstreams.queues()[0].refused == 1


async def test_who_finds_the_queue_full_is_refused_at_once(scene):
    told, _, upstreams, client, _ = await held(scene, queue={"length": 0})
    refused = await exchange(upstreams)
    assert refused.refusal is not None
    assert (refused.refusal.reason, refused.refusal.status) == (Reason.OVERLOADED, 503)
    told.set()
    await client.done()


async def test_who_leaves_the_queue_is_forgotten(scene):
    told, server, upstreams, client, _ = await held(scene)
    gone = RecordingClient()
    upstreams.forward(authorized(), gone).abort()
    assert upstreams.queues()[0].waiting == 0
    told.set()
    await client.done()
    assert (await exchange(upstreams)).content == b"ok"
    assert len(server.heads) == 2
    assert gone.calls == []


async def test_a_client_that_leaves_gives_its_place_to_the_next(scene):
    told, _, upstreams, _, forwarded = await held(scene)
    waiting = RecordingClient()
    upstreams.forward(authorized(), waiting).send_end()
    forwarded.abort()
    told.set()
    assert (await waiting.done()).content == b"ok"


async def test_closing_ends_those_that_wait(scene):
    _, _, upstreams, client, _ = await held(scene)
    waiting = RecordingClient()
    upstreams.forward(authorized(), waiting).send_end()
    await upstreams.close()
    for one in (client, waiting):
        assert (await one.done()).refusal is not None
    assert [state.in_flight for state in upstreams.view()] == [0]


async def test_a_websocket_holds_its_place(scene):
    server = await scene.start(and_wait(switch()))
    upstreams = scene.build(server.url, maximum_connections=1, queue={"length": 0})
    client = RecordingClient()
    forwarded = upstreams.forward(authorized(upgrade="websocket", fields=ASKED), client)
    await client.until(lambda: client.switched)
    assert (await exchange(upstreams)).refusal is not None
    forwarded.abort()
    assert upstreams.view()[0].in_flight == 0


async def test_a_silent_stream_does_not_count_against_its_server(scene):
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    stalled = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    for answer, failures in ((stream, 0), (stalled, 1)):
        server = await scene.start(and_wait(answer))
        upstreams = scene.build(
            server.url, maximum_requests=9, timeouts={"idle": "50ms"}, route={"streams": {"idle": "50ms"}}
        )
        assert (await exchange(upstreams)).aborted is not None
        assert upstreams.view()[0].failures == failures


@pytest.mark.interpreted
async def test_an_unexpected_failure_of_connecting_is_internal(scene, monkeypatch):
    upstreams = scene.build("http://127.0.0.1:1", "http://127.0.0.2:1")
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def broken():
        raise RuntimeError("a bug")

    for pool in upstreams._pools:
        monkeypatch.setattr(pool, "connect", broken)
    client = await exchange(upstreams)
    assert client.refusal.reason is Reason.INTERNAL_ERROR
    assert told
    assert [state.in_flight for state in upstreams.view()] == [0, 0]


async def test_identities_keep_their_server(scene):
    servers = [await scene.start(always(OK)) for _ in range(3)]
    upstreams = scene.build(*(server.url for server in servers), balance="consistent_hash(header.X-User)")
    for _ in range(5):
        for user in (b"alice", b"bob", b"carol", b"dave"):
            await exchange(upstreams, fields=((b"x-user", user),))
    for server in servers:
        users = [line for head in server.heads for line in head.split(b"\r\n") if line.startswith(b"x-user")]
        assert all(users.count(user) == 5 for user in set(users))
    assert sum(len(server.heads) for server in servers) == 20
