"""Time limits hold on every request of a connection, not on its first alone."""

from tests.edge import Edge, get
from tests.fakes import RecordingPipeline, allow
from ztproxy.model import Reason, Refusal, Refused


def decide(arrived):
    return Refused(Refusal(Reason.POLICY_DENIED), arrived) if arrived.path == "/refused" else allow(arrived)


async def test_a_later_body_that_is_dropped_may_not_take_long():
    edge = Edge(RecordingPipeline(decide))
    assert edge.send(get()).startswith(b"HTTP/1.1 200 ")
    assert edge.send(get(b"/refused", b"Content-Length: 10", method=b"POST") + b"abc").startswith(b"HTTP/1.1 403 ")
    assert not edge.wire.closed
    edge.at(9)
    edge.send(b"d")
    assert not edge.wire.closed
    edge.at(2)
    assert edge.wire.closed


async def test_a_later_body_must_go_on():
    edge = Edge(RecordingPipeline(decide))
    edge.send(get())
    edge.send(get(b"/", b"Content-Length: 10", method=b"POST") + b"abc")
    edge.at(59)
    edge.send(b"d")
    edge.at(59)
    assert not edge.wire.closed
    edge.at(2)
    assert edge.wire.closed
    assert edge.forward.last.aborted
