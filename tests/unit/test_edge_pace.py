"""How far a client may fall behind, on a clock that the test moves."""

import asyncio

import pytest

from tests.fakes import FakeClock, FakeWire
from ztproxy.edge.pace import Pace, Stall

MOST, RATE = 60.0, 500


def test_who_stands_still_has_all_of_it_and_no_more():
    pace = Pace(0, MOST, RATE)
    assert pace.due(0, 0) == 60
    assert pace.due(59, 0) == 60


def test_each_octet_buys_its_time_at_the_rate():
    pace = Pace(0, MOST, RATE)
    assert pace.due(30, 5000) == 70
    assert pace.due(30, 5000) == 70
    assert pace.due(31, 5500) == 71


def test_nobody_saves_up_more_than_the_bound():
    pace = Pace(0, MOST, RATE)
    assert pace.due(1, 10**9) == 61


def test_an_octet_now_and_then_is_not_enough():
    pace, now, octets = Pace(0, MOST, RATE), 0.0, 0
    while now < pace.due(now, octets):
        now += 10
        octets += 1
    assert now == 70


@pytest.mark.parametrize("rate", [500, 10_000])
def test_one_that_keeps_to_the_rate_is_never_late(rate):
    pace = Pace(0, MOST, rate)
    assert all(pace.due(now, now * rate) > now for now in range(10, 100_000, 30))


def test_without_a_rate_any_progress_counts():
    pace = Pace(0, MOST, 0)
    assert pace.due(59, 1) == 119
    assert pace.due(118, 2) == 178
    assert pace.due(170, 2) == 178


def test_time_that_is_not_the_clients_does_not_count():
    pace = Pace(0, MOST, RATE)
    pace.hold(50)
    pace.hold(500)
    assert pace.due(1000, 0) == 1010
    pace.hold(1009)
    assert pace.due(2000, 0) == 2001


class Reader:
    """A client that reads when told, and the watch on it."""

    def __init__(self, rate: int) -> None:
        self.clock, self.wire = FakeClock(0.0), FakeWire()
        self.stall = Stall(asyncio.get_running_loop(), self.clock, self.wire, MOST, rate)

    def waits(self, seconds: float, reads: int) -> bool:
        """So many seconds later it has read so much; whether it was cut off by then."""
        self.clock.now += seconds
        self.wire.waiting -= reads
        self.stall.look()
        return self.wire.aborted


async def test_a_reader_that_stands_still_is_cut_off():
    reader = Reader(RATE)
    reader.wire.waiting = 65_536
    reader.stall.begin()
    assert not reader.waits(59, 0)
    assert reader.waits(1, 0)


async def test_a_reader_that_trickles_is_cut_off():
    reader = Reader(RATE)
    reader.wire.waiting = 65_536
    reader.stall.begin()
    assert not reader.waits(50, 10)
    assert reader.waits(11, 10)


async def test_a_reader_that_catches_up_only_ever_just_in_time_is_cut_off():
    reader = Reader(10_000)
    for _ in range(3):
        reader.wire.waiting = 65_536
        reader.stall.begin()
        reader.clock.now += 30
        reader.wire.waiting = 16_384
        reader.stall.end()
        if reader.wire.aborted:
            break
    reader.wire.waiting = 65_536
    reader.stall.begin()
    reader.stall.look()
    assert reader.wire.aborted


async def test_a_reader_that_keeps_to_the_rate_is_left_alone():
    reader = Reader(RATE)
    for _ in range(100):
        reader.wire.waiting = 65_536
        reader.stall.begin()
        assert not reader.waits(50, 40_000)
        reader.wire.waiting = 16_384
        reader.stall.end()
        reader.clock.now += 1000  # nothing to read is no fault of its own
    assert reader.stall._timer is None
