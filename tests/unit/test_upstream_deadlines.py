"""One coarse clock for all exchanges: it runs while there is something to watch, and only then."""

import asyncio

from ztproxy.upstream.deadlines import NEVER, Deadlines


class Waiting:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expired = asyncio.Event()

    def expire(self) -> None:
        self.expired.set()

    def stop(self) -> None:
        pass


def watcher(shortest: float = 0.04) -> Deadlines:
    return Deadlines(asyncio.get_running_loop(), shortest, lambda _now: False)


async def test_what_is_late_expires_and_what_is_not_does_not():
    deadlines = watcher()
    now = asyncio.get_running_loop().time()
    late, never, later = Waiting(now + 0.02), Waiting(NEVER), Waiting(now + 100)
    for waiting in (late, never, later):
        deadlines.watch(waiting)
    await asyncio.wait_for(late.expired.wait(), 5)
    assert not never.expired.is_set()
    assert not later.expired.is_set()
    deadlines.stop()


async def test_a_deadline_moves_by_assignment():
    deadlines = watcher()
    moved = Waiting(NEVER)
    deadlines.watch(moved)
    moved.deadline = asyncio.get_running_loop().time()
    await asyncio.wait_for(moved.expired.wait(), 5)
    deadlines.stop()


async def test_the_clock_rests_while_nothing_is_watched():
    deadlines = watcher()
    waiting = Waiting(0.0)
    deadlines.watch(waiting)
    deadlines.forget(waiting)
    async with asyncio.timeout(5):
        while deadlines._timer is not None:
            await asyncio.sleep(0.005)
    assert not waiting.expired.is_set()


def test_it_looks_several_times_within_the_shortest_limit():
    loop = asyncio.new_event_loop()
    intervals = [Deadlines(loop, shortest, bool)._interval for shortest in (0.001, 0.2, 60.0)]
    loop.close()
    assert intervals == [0.01, 0.05, 0.5]
