import asyncio

import pytest

from tests.edge import Edge, get
from tests.fakes import RecordingForward, RecordingPipeline
from tests.raw_server import settings, token
from tests.websocket import KEY, frame
from ztproxy.edge.streams import AFTER, Streams
from ztproxy.model import Authorized, Decision, Reason, Refusal

HANDSHAKE = get(
    b"/chat",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: " + KEY,
    b"Sec-WebSocket-Version: 13",
)


def edge(*, expires_in: float = 60.0, certificate=None, **streams) -> Edge:
    """Whoever asks has a token that the clock's own time decides about."""
    made: Edge

    def decide(arrived):
        subject = arrived.path.removeprefix("/").partition("/")[0]
        held = token(subject, expires_at=made.wall.now + expires_in)
        return Authorized(arrived, "app", certificate, held, None, Decision(allow=True, revision="r1"))

    registry = Streams()
    registry.configure(settings("http://h", route={"streams": streams}).model_copy(update={"issuers": ()}))
    made = Edge(RecordingPipeline(decide), RecordingForward(None), streams=registry)
    return made


def opened(edge: Edge, request: bytes = HANDSHAKE) -> Edge:
    edge.send(request)
    edge.forward.last.client.send_switch(())
    return edge


def later(edge: Edge, seconds: float) -> None:
    edge.clock.now += seconds
    edge.wall.now += seconds
    edge.site.streams.sweep([edge.site], edge.wall.now, edge.clock.now)


async def test_a_websocket_is_registered_with_who_opened_it():
    one = opened(edge())
    [stream] = one.site.streams.find()
    assert (stream.kind, stream.route, stream.source, stream.token_subject) == ("websocket", "app", "192.0.2.7", "chat")
    assert (stream.since, stream.policy_revision) == (1_700_000_000.0, "r1")
    assert stream.request_id == one.arrived[0].request_id
    assert one.site.streams.open == {"websocket": 1}
    one.forward.last.client.send_end()
    assert one.site.streams.find() == ()
    assert (one.site.streams.opened, one.site.streams.open) == ({"websocket": 1}, {})


async def test_a_request_that_ends_soon_is_no_stream():
    one = edge()
    one.send(get())
    later(one, AFTER - 1)
    assert one.site.streams.find() == ()


async def test_a_response_that_takes_long_is_found():
    one = edge()
    one.send(get(b"/bob/feed"))
    one.forward.last.client.send_head(200, (), None)
    later(one, AFTER)
    later(one, 1)
    [stream] = one.site.streams.find(lambda stream: stream.token_subject == "bob")
    assert stream.kind == "response"
    assert one.site.streams.opened == {"response": 1}
    one.forward.last.client.send_end()
    assert one.site.streams.find() == ()


async def test_ending_one_leaves_the_others():
    one = opened(edge())
    first = one.wire
    one.connect()
    opened(one, HANDSHAKE.replace(b"/chat", b"/bob"))
    assert one.site.streams.end(lambda stream: stream.token_subject == "chat", "withdrawn") == 1
    assert bytes(first.written).endswith(frame(8, b"\x03\xf0policy-denied"))
    assert (first.closed, one.wire.closed) == (True, False)
    assert [stream.token_subject for stream in one.site.streams.find()] == ["bob"]
    assert (one.told.last.status, one.told.last.cut) == (101, "withdrawn")
    assert one.site.streams.ended == {"policy-denied": 1}


async def test_so_many_on_a_route():
    one = opened(edge(maximum=1))
    one.connect()
    opened(one, HANDSHAKE.replace(b"/chat", b"/bob"))
    assert one.wire.taken().startswith(b"HTTP/1.1 503 ")
    assert one.forward.last.aborted
    assert (one.site.streams.refused, one.site.streams.open) == (1, {"websocket": 1})


async def test_so_many_for_one_identity_until_one_has_ended():
    one = opened(edge(maximum_per_identity=1))
    first = one.forward.last
    one.connect()
    opened(one)
    refused = one.wire.taken()
    assert refused.startswith(b"HTTP/1.1 429 ")
    assert b"retry-after: 10\r\n" in refused
    one.connect()
    opened(one, HANDSHAKE.replace(b"/chat", b"/bob"))
    assert one.wire.taken().startswith(b"HTTP/1.1 101 ")
    first.client.send_end()
    one.connect()
    opened(one)
    assert one.wire.taken().startswith(b"HTTP/1.1 101 ")


async def test_it_looks_by_itself(monkeypatch):
    monkeypatch.setattr("ztproxy.edge.streams.INTERVAL", 0.001)
    one = opened(edge(expires_in=-1.0))
    closed = asyncio.Event()
    one.wire.close = closed.set
    one.site.streams.watch([one.site], one.wall, one.clock)
    await asyncio.wait_for(closed.wait(), 5)
    one.site.streams.stop()


async def test_it_looks_in_time_however_often_it_is_told_where(monkeypatch):
    monkeypatch.setattr("ztproxy.edge.streams.INTERVAL", 0.02)
    one = opened(edge(expires_in=-1.0))
    closed = asyncio.Event()
    one.wire.close = closed.set
    async with asyncio.timeout(5):
        while not closed.is_set():
            one.site.streams.watch([one.site], one.wall, one.clock)
            await asyncio.sleep(0)
    one.site.streams.stop()


async def test_what_goes_on_at_a_site_that_was_replaced_is_looked_at_too(monkeypatch):
    monkeypatch.setattr("ztproxy.edge.streams.INTERVAL", 0.001)
    one = edge(expires_in=-1.0)
    one.send(get())
    one.forward.last.client.send_head(200, (), None)
    one.clock.now += AFTER
    closed = asyncio.Event()
    one.wire.close = closed.set
    one.site.streams.watch([one.site], one.wall, one.clock)
    one.site.streams.watch([], one.wall, one.clock)
    await asyncio.wait_for(closed.wait(), 5)
    one.site.streams.stop()


async def test_a_lifetime_ends_it_at_the_end_of_a_frame():
    one = opened(edge(expires_in=3600, lifetime="1m"))
    one.wire.taken()
    octets = frame(1, b"hello")
    one.forward.last.client.send_octets(octets[:3])
    later(one, 61)
    assert not one.wire.closed
    one.forward.last.client.send_octets(octets[3:])
    assert one.wire.taken() == octets + frame(8, b"\x03\xe9upstream-timeout")
    assert one.wire.closed


async def test_whose_right_has_ended_is_ended():
    one = opened(edge())
    streams = one.site.streams
    asked = []

    async def rejudge(rights, now):
        asked.extend((right.listener, right.host, right.route, right.token.subject, now) for right in rights)
        return [Refusal(Reason.CERTIFICATE_REVOKED, cause="revoked")]

    await streams.rejudge(rejudge, 5.0)
    assert asked == [("127.0.0.1:8443", "a.example", "app", "chat", 5.0)]
    assert streams.find() == ()
    assert streams.ended == {"certificate-revoked": 1}
    assert b"certificate-revoked" in one.wire.taken()


async def test_whose_right_still_counts_goes_on():
    one = opened(edge())

    async def rejudge(rights, _):
        return [None for _ in rights]

    await one.site.streams.rejudge(rejudge, 5.0)
    assert len(one.site.streams.find()) == 1


@pytest.mark.interpreted
async def test_it_asks_about_rights_by_itself(monkeypatch):
    monkeypatch.setattr("ztproxy.edge.streams.INTERVAL", 0.001)
    one = opened(edge())
    streams, asked = one.site.streams, asyncio.Event()

    async def rejudge(rights, _):
        asked.set()
        return [None for _ in rights]

    streams.watch([one.site], one.wall, one.clock, rejudge)
    async with asyncio.timeout(1):
        await asked.wait()
    streams.stop()
