"""What is measured of a process's load, and what of it refuses."""

import asyncio
import mmap
import sys
import time
from math import inf
from pathlib import Path

import pytest

from tests.fakes import FakeClock
from ztproxy.config.edge import Overload
from ztproxy.edge import resident
from ztproxy.edge.load import EVERY, LOOP_LAG, MEMORY, REQUESTS, Load, unbounded


def looking(overload: Overload, **options) -> tuple[Load, FakeClock]:
    clock = FakeClock(0.0)
    load = Load(overload, clock=clock, **options)
    load._due = EVERY
    return load, clock


def look(load: Load, clock: FakeClock, late: float = 0.0) -> None:
    """The timer fires, so many seconds late."""
    clock.now = load._due + late
    load.look()
    load._due = clock.now + EVERY


def test_by_default_nothing_is_too_much():
    load = unbounded()
    load.in_flight = 10**9
    assert not load.overloaded
    assert load.limit == inf


def test_so_many_requests():
    load, _ = looking(Overload(requests=2))
    load.in_flight = 1
    assert not load.overloaded
    load.in_flight = 2
    assert load.overloaded
    load.refuse()
    assert load.refused == {REQUESTS: 1}


def test_a_late_loop_is_overload_when_it_is_late_twice():
    load, clock = looking(Overload(loop_lag=0.1))
    look(load, clock, 0.5)
    assert load.loop_lag == pytest.approx(0.5)
    assert not load.overloaded
    look(load, clock, 0.2)
    assert load.overloaded
    load.refuse()
    look(load, clock, 0.09)
    assert not load.overloaded
    assert load.refused == {LOOP_LAG: 1}
    look(load, clock, 0.5)
    assert not load.overloaded


def test_memory():
    octets = [0]
    load, clock = looking(Overload(memory="100MiB"), resident=lambda: octets[0])
    for octets[0], overloaded in ((100 << 20, False), ((100 << 20) + 1, True), (99 << 20, False)):
        look(load, clock)
        assert load.overloaded is overloaded
        assert load.memory == octets[0]
    octets[0] = 1 << 30
    look(load, clock)
    load.refuse()
    assert load.refused == {MEMORY: 1}


def test_memory_that_cannot_be_told_is_no_bound_to_rely_on():
    with pytest.raises(ValueError, match=r"overload\.memory: .* cannot be told on this system"):
        Load(Overload(memory="1GiB"), resident=None)


def test_retry_after_is_in_whole_seconds():
    load = Load(Overload(retry_after="2500ms"))
    assert load.refuse().fields == ((b"retry-after", b"3"),)


async def test_it_looks_as_long_as_it_is_started():
    load = Load(Overload(loop_lag=0.001))
    load.start(asyncio.get_running_loop())
    timer = load._timer
    assert timer is not None
    load.limit = 0
    load.stop()
    assert timer.cancelled()
    assert load.limit == inf


@pytest.mark.slow
async def test_a_loop_that_is_kept_busy_is_seen_and_forgiven():
    load = Load(Overload(loop_lag=0.05))
    load.start(asyncio.get_running_loop())
    async with asyncio.timeout(10):
        while not load.overloaded:
            busy_until = time.monotonic() + 2 * EVERY
            while time.monotonic() < busy_until:
                pass
            await asyncio.sleep(0)
        assert load.loop_lag > 0.05
        while load.overloaded:
            await asyncio.sleep(0.001)
    load.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; run it on Linux")
def test_resident_memory_is_that_of_this_process():
    tell = resident.resident_memory()
    assert tell is not None
    before = tell()
    assert before > 5 << 20
    with mmap.mmap(-1, 64 << 20) as held:  # from the system: the heap may have room left
        held.write(b"x" * (64 << 20))
        assert tell() - before > 32 << 20


def test_without_a_way_to_tell_it_says_so(monkeypatch):
    monkeypatch.setattr(resident, "_STATM", Path("/nowhere"))
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert resident.resident_memory() is None


def test_elsewhere_psutil_tells(monkeypatch):
    class Process:
        def memory_info(self):
            return type("Info", (), {"rss": 12345})

    monkeypatch.setattr(resident, "_STATM", Path("/nowhere"))
    monkeypatch.setitem(sys.modules, "psutil", type("psutil", (), {"Process": Process}))
    tell = resident.resident_memory()
    assert tell is not None
    assert tell() == 12345
