"""A moment by which something must have happened, on a timer that is seldom set anew."""

import asyncio
from collections.abc import Callable
from math import inf

LATEST = 60.0
"""Seconds until the timer looks again when there is no deadline."""


class Deadline:
    """One timer for one connection: moving the deadline later, or away, is an assignment to `at`."""

    __slots__ = ("_clock", "_expired", "_fires", "_loop", "_timer", "at")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], expired: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self._fires = inf
        self.at = inf
        """Seconds of the clock; infinite when nothing is awaited."""

    def within(self, seconds: float) -> None:
        """It is so many seconds from now."""
        self.until(self._clock() + seconds)

    def until(self, at: float) -> None:
        """It is at that time of the clock."""
        self.at = at
        if at < self._fires:
            self._arm(at)

    def stop(self) -> None:
        """There is none any more, no timer, and nobody to be told: whoever owns this may go."""
        self.at = inf
        self._expired = _nobody
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fired(self) -> None:
        """The timer's own call."""
        self._timer = None
        self._fires = inf
        now = self._clock()
        if self.at <= now:
            self.at = inf
            self._expired()
        else:
            self._arm(min(self.at, now + LATEST))

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires = at
        self._timer = self._loop.call_later(max(0.0, at - self._clock()), self.fired)


def _nobody() -> None:
    """Nobody waits for the deadline any more."""
