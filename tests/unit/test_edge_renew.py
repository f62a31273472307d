"""An open connection when the configuration changes: what was asked before ends by the old one, the rest by the new."""

import asyncio

import msgspec
import pytest

from tests.edge import Edge, get
from tests.fakes import PEER, RecordingForward, RecordingPipeline, Told, allow
from ztproxy.edge.canonical import Reading
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.site import Site


class Renewed:
    """What serves next."""

    def __init__(self, edge: Edge, cleaning: Cleaning | None = None) -> None:
        self.pipeline = RecordingPipeline()
        self.forward = RecordingForward()
        self.told = Told()
        self.site = Site(
            pipeline=self.pipeline,
            forward=self.forward,
            finished=self.told,
            reading=Reading.of(cleaning or Cleaning.of()),
            wall=edge.wall,
            monotonic=edge.clock,
        )
        self.connection = msgspec.structs.replace(PEER)


async def test_the_next_request_is_judged_and_forwarded_anew():
    edge = Edge()
    edge.send(get())
    new = Renewed(edge)
    assert edge.http.renew(new.site, new.connection) is None
    assert edge.send(get(b"/next")).startswith(b"HTTP/1.1 200")
    assert [one.path for one in edge.arrived] == ["/"]
    assert [one.path for one in new.pipeline.arrived] == ["/next"]
    assert new.pipeline.arrived[0].connection is new.connection
    assert new.told.last.connection is new.connection
    assert edge.site.connections == set()
    assert new.site.connections == {edge.http}


async def test_fields_that_the_client_repeats_are_read_by_the_new_rules():
    edge = Edge()
    edge.send(get(b"/", b"X-Role: admin"))
    assert edge.arrived[0].fields == ((b"x-role", b"admin"),)
    new = Renewed(edge, Cleaning.of(set_by_policy=["X-Role"]))
    edge.http.renew(new.site, new.connection)
    edge.send(get(b"/", b"X-Role: admin"))
    assert new.pipeline.arrived[0].fields == ()


async def test_what_is_under_way_ends_by_what_it_began_with():
    edge = Edge(forward=RecordingForward(None))
    edge.send(get(b"/slow"))
    new = Renewed(edge)
    left = edge.http.renew(new.site, new.connection)
    assert left is not None
    assert not left.over
    edge.forward.last.respond(body=b"late")
    assert edge.wire.taken().endswith(b"late")
    assert left.over
    assert edge.told.last.status == 200
    edge.send(get(b"/next"))
    assert [one.path for one in new.pipeline.arrived] == ["/next"]


async def test_what_waits_for_its_decision_is_waited_for():
    decided = asyncio.get_running_loop().create_future()

    async def decide(arrived):
        await decided
        return allow(arrived)

    edge = Edge(RecordingPipeline(decide))
    edge.send(get())
    new = Renewed(edge)
    left = edge.http.renew(new.site, new.connection)
    assert left.deciding
    decided.set_result(None)
    while not left.over:
        await asyncio.sleep(0)
    assert not left.deciding
    assert edge.wire.taken().startswith(b"HTTP/1.1 200")


async def test_a_request_that_was_pipelined_is_read_and_judged_by_the_new_rules():
    edge = Edge(forward=RecordingForward(None))
    edge.send(get(b"/first") + get(b"/second", b"X-Role: admin"))
    new = Renewed(edge, Cleaning.of(set_by_policy=["X-Role"]))
    edge.http.renew(new.site, new.connection)
    edge.forward.last.respond()
    assert edge.wire.taken().count(b"HTTP/1.1 200") == 2
    assert [one.path for one in edge.arrived] == ["/first"]
    assert [(one.path, one.fields) for one in new.pipeline.arrived] == [("/second", ())]


async def test_a_request_that_was_read_and_cannot_begin_is_not_served_by_rules_that_no_longer_count():
    """Its client does not read what it was answered before; who knows when it will."""
    edge = Edge()
    edge.http.pause_writing()
    edge.send(get(b"/read"))
    new = Renewed(edge)
    edge.http.renew(new.site, new.connection)
    assert edge.wire.closed
    edge.http.resume_writing()
    assert (edge.arrived, new.pipeline.arrived) == ([], [])


async def test_a_request_that_waits_for_the_end_of_the_turn_begins_by_the_rules_it_was_read_by():
    put_off = []
    edge = Edge(at_end=put_off.append)
    edge.send(get(b"/read"))
    assert edge.arrived == []
    new = Renewed(edge)
    edge.http.renew(new.site, new.connection)
    for do in put_off:
        do()
    assert edge.wire.taken().startswith(b"HTTP/1.1 200")
    assert [one.path for one in edge.arrived] == ["/read"]
    edge.send(get(b"/next"))
    assert [one.path for one in new.pipeline.arrived] == ["/next"]


async def test_a_body_goes_on_coming_in():
    edge = Edge(forward=RecordingForward())
    edge.send(get(b"/", b"Content-Length: 4", method=b"PUT") + b"ab")
    new = Renewed(edge)
    edge.http.renew(new.site, new.connection)
    assert edge.send(b"cd").startswith(b"HTTP/1.1 200")
    assert edge.forward.last.body == b"abcd"


@pytest.mark.parametrize("split", [1, 10, 30])
async def test_a_head_that_had_half_arrived_is_read_by_the_new_rules(split):
    edge = Edge()
    request = get(b"/whole", b"X-Role: admin")
    edge.send(request[:split])
    new = Renewed(edge, Cleaning.of(set_by_policy=["X-Role"]))
    edge.http.renew(new.site, new.connection)
    assert edge.send(request[split:]).startswith(b"HTTP/1.1 200")
    assert new.pipeline.arrived[0].fields == ()
