"""Claim: what is too much is refused at once and unasked, and takes nothing from what was accepted."""

import asyncio

from tests.edge import Edge, get
from tests.fakes import RecordingForward, RecordingPipeline
from ztproxy.config.edge import Overload
from ztproxy.edge.load import Load
from ztproxy.model import Reason

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


def bounded(requests: int = 1, **options) -> Edge:
    return Edge(forward=RecordingForward(answer=None), load=Load(Overload(requests=requests)), **options)


async def test_beyond_the_bound_503_before_the_pipeline():
    edge = bounded()
    edge.send(get(b"/first"))
    busy, busy_wire = edge.http, edge.wire
    edge.connect()
    answer = edge.send(get(b"/second"))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer
    assert b'"reason":"overloaded"' in answer
    assert edge.told.refusal.reason is Reason.OVERLOADED
    assert edge.told.last.outcome.at.path == "/second"
    assert [arrived.path for arrived in edge.arrived] == ["/first"]
    assert not edge.wire.closed
    edge.forward.last.respond()
    assert busy_wire.taken().startswith(b"HTTP/1.1 200 ")
    assert edge.send(get(b"/third")) == b""
    assert [arrived.path for arrived in edge.arrived] == ["/first", "/third"]
    busy.lost()


async def test_what_was_accepted_goes_on_when_the_loop_is_late():
    edge = bounded(requests=100)
    edge.send(POST + b"Content-Length: 4\r\n\r\nab")
    edge.site.load.limit = 0
    edge.send(b"cd")
    assert edge.forward.last.body == b"abcd"
    edge.forward.last.respond()
    assert edge.wire.taken().startswith(b"HTTP/1.1 200 ")


async def test_the_body_of_a_refused_request_does_not_put_the_connection_out_of_step():
    edge = bounded()
    edge.site.load.limit = 0
    answer = edge.send(POST + b"Content-Length: 4\r\n\r\nabcd" + get(b"/next"))
    assert answer.count(b"HTTP/1.1 503 ") == 2
    assert not edge.wire.closed
    assert not edge.arrived


async def test_a_refused_client_is_not_drawn_out():
    edge = bounded()
    edge.site.load.limit = 0
    answer = edge.send(POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert edge.wire.closed


async def test_every_way_to_end_is_counted():
    edge = bounded(requests=100)
    load = edge.site.load
    edge.send(get())
    assert load.in_flight == 1
    edge.forward.last.respond()
    assert load.in_flight == 0
    edge.send(b"GET / HTTP/1.1\r\n\r\n")
    assert load.in_flight == 0
    edge.connect()
    edge.send(get() + get())
    edge.http.lost()
    assert load.in_flight == 0
    edge.connect()
    edge.send(POST + b"Content-Length: 4\r\n\r\n")
    edge.at(61)
    assert load.in_flight == 0
    edge.connect()
    edge.pipeline._decide = lambda _: 1 / 0
    edge.send(get())
    assert load.in_flight == 0
    edge.connect()
    load.limit = 0
    edge.send(get())
    assert load.in_flight == 0


async def test_a_bug_in_the_log_does_not_keep_the_count_up(caplog):
    edge = bounded(requests=100)
    edge.site.finished = lambda _: 1 / 0
    edge.send(get())
    edge.forward.last.respond()
    edge.http.lost()
    assert edge.wire.aborted
    assert caplog.records
    assert edge.site.load.in_flight == 0


async def test_a_decision_that_takes_its_time_counts():
    async def never(_arrived):
        await asyncio.get_running_loop().create_future()

    edge = Edge(RecordingPipeline(never), load=Load(Overload(requests=1)))
    edge.send(get())
    first = edge.http
    edge.connect()
    assert edge.send(get()).startswith(b"HTTP/1.1 503 ")
    first.lost()
    assert edge.site.load.in_flight == 0
