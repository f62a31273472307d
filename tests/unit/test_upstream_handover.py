"""A reload: the new upstreams know what the old ones knew, the old ones end when nothing is left to do."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, RecordingClient, Scene, always, authorized, exchange, settings
from ztproxy.upstream import Upstreams

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
AWAY = ("http://127.0.0.1:1", "http://127.0.0.2:1")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


async def test_what_is_under_way_goes_on_and_then_it_is_drained(scene):
    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await told.wait()
            await peer.say(OK)

    told = asyncio.Event()
    server = await scene.start(script)
    upstreams = scene.build(server.url, timeouts={"response": "100s"})
    client = RecordingClient()
    upstreams.forward(authorized(), client).send_end()
    await asyncio.sleep(0)
    upstreams.retire()
    drained = asyncio.ensure_future(upstreams.drained())
    await asyncio.sleep(0)
    assert not drained.done()
    told.set()
    assert (await client.done()).content == b"ok"
    await asyncio.wait_for(drained, 5)
    assert [(state.connections, state.idle) for state in upstreams.view()] == [(0, 0)]


async def test_idle_connections_are_closed_at_once(scene):
    server = await scene.start(always(OK))
    upstreams = scene.build(server.url)
    await exchange(upstreams)
    upstreams.retire()
    assert upstreams.view()[0].connections == 0
    await asyncio.wait_for(upstreams.drained(), 5)
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)


async def test_closing_ends_the_wait(scene):
    server = await scene.start(always())
    upstreams = scene.build(server.url)
    upstreams.forward(authorized(), RecordingClient()).send_end()
    drained = asyncio.ensure_future(upstreams.drained())
    await asyncio.sleep(0)
    await upstreams.close()
    await asyncio.wait_for(drained, 5)


async def ejecting(*servers: str, **upstream) -> Upstreams:
    """Upstreams whose first server is left out."""
    upstreams = Upstreams.build(settings(*servers, outliers={"failures": 1}, **upstream))
    await exchange(upstreams)
    assert upstreams.view()[0].ejected_until is not None
    return upstreams


async def test_one_that_is_left_out_stays_so(scene):
    old = await ejecting(*AWAY)
    config = settings(*reversed(AWAY), "http://127.0.0.3:1", outliers={"failures": 1}, balance="least_requests")
    new = Upstreams.build(config, previous=old)
    before, after = old.view(), new.view()
    assert [state.server for state in after] == [*reversed(AWAY), "http://127.0.0.3:1"]
    assert after[1].ejected_until == before[0].ejected_until
    assert after[1].failures == before[0].failures
    assert after[0].ejected_until is None
    assert after[2].ejected_until is None
    await old.close()
    await new.close()


async def test_taking_over_late_counts_too(scene):
    good = await scene.start(always(OK))
    servers = (AWAY[0], good.url)
    old = await ejecting(*servers)
    new = scene.build(*servers, outliers={"failures": 1}, retries={"attempts": 0})
    assert [state.ejected_until for state in new.view()] == [None, None]
    assert new.published["app"].cluster.fit(0.0) == new.published["app"].cluster.members
    new.take_over(old)
    for _ in range(4):
        assert (await exchange(new)).content == b"ok"
    await old.close()


async def test_what_the_new_ones_learn_changes_nothing_for_the_old_ones():
    old = Upstreams.build(settings(*AWAY, outliers={"failures": 1}))
    new = Upstreams.build(settings(*AWAY, outliers={"failures": 1}), previous=old)
    await exchange(new)
    assert new.view()[0].ejected_until is not None
    assert old.view()[0].ejected_until is None
    await new.close()  # as where a reload is given up
    await old.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"outliers": {"failures": 2}},
        {"outliers": {"failures": 1}, "health": {"path": "/"}},
        {"outliers": {"failures": 1}, "route": {"name": "other"}},
    ],
)
async def test_where_the_configuration_changed_all_start_anew(scene, changes):
    old = await ejecting(*AWAY)
    new = Upstreams.build(settings(*AWAY, **changes), previous=old)
    assert [state.ejected_until for state in new.view()] == [None, None]
    await old.close()
    await new.close()


async def test_the_view_of_one_server_alone(scene):
    server = await scene.start(always(OK))
    upstreams = scene.build(server.url)
    for _ in range(3):
        await exchange(upstreams)
    (state,) = upstreams.view()
    assert (state.route, state.server, state.weight, state.healthy) == ("app", server.url, 1, True)
    assert (state.requests, state.failures, state.retries, state.checks) == (3, 0, 0, 0)
    assert (state.in_flight, state.connections, state.idle) == (0, 1, 1)
    upstreams.forward(authorized(), RecordingClient())
    assert upstreams.view()[0].in_flight == 1


async def test_one_server_alone_is_chosen_without_choosing(scene):
    """The case that most have costs what it cost: no key, no queue, no budget."""
    server = await scene.start(always(OK))
    plain, chosen = scene.build(server.url), scene.build(server.url, maximum_requests=9)
    assert type(plain.forward(authorized(), RecordingClient())).__name__ == "Exchange"
    assert type(chosen.forward(authorized(), RecordingClient())).__name__ == "BalancedExchange"
