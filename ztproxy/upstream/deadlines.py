"""Time limits of many exchanges, watched by one coarse clock: setting one costs an assignment, not a timer."""

import asyncio
from collections.abc import Callable
from typing import Protocol

NEVER = float("inf")
_SHORTEST, _LONGEST = 0.01, 0.5


class Limited(Protocol):
    """Something that must not take for ever."""

    deadline: float
    """When it has taken too long, by the loop's clock; `NEVER` while nothing is waited for."""

    def expire(self) -> None:
        """It has taken too long."""

    def stop(self) -> None:
        """End it now."""


class Deadlines:
    """Looks at everything that is watched, a few times within the shortest limit; runs only while there is something.

    Args:
        loop: whose clock counts.
        shortest: the shortest time limit, seconds; limits are kept to within a quarter of it, at most half a second.
        sweep: called at each look with the time; says whether it still has something to watch.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, shortest: float, sweep: Callable[[float], bool]) -> None:
        self._loop = loop
        self._interval = min(max(shortest / 4, _SHORTEST), _LONGEST)
        self._sweep = sweep
        self._watched: set[Limited] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._resting: asyncio.Future[None] | None = None

    def now(self) -> float:
        """The time that deadlines are set by."""
        return self._loop.time()

    def watch(self, limited: Limited) -> None:
        """Call its `expire` once its deadline has passed."""
        self._watched.add(limited)
        if self._timer is None:
            self.wake()

    def forget(self, limited: Limited) -> None:
        """It is done."""
        self._watched.discard(limited)

    def wake(self) -> None:
        """There is something to sweep."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval, self._look)

    def stop(self) -> None:
        """Watch nothing any more."""
        self._sweep = _nothing  # what is swept holds us
        self._watched.clear()
        if self._resting is not None:
            self._resting.set_result(None)
            self._resting = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def rest(self) -> None:
        """Wait until nothing is watched; noticed at the next look."""
        while self._watched:
            if self._resting is None:
                self._resting = self._loop.create_future()
            await asyncio.shield(self._resting)

    def watched(self) -> tuple[Limited, ...]:
        """Everything under way."""
        return tuple(self._watched)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for limited in [limited for limited in self._watched if limited.deadline <= now]:
            limited.expire()
        if self._resting is not None and not self._watched:
            self._resting.set_result(None)
            self._resting = None
        if self._sweep(now) or self._watched or self._resting is not None:
            self.wake()


def _nothing(_now: float) -> bool:
    return False
