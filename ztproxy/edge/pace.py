"""Clients that are too slow: how far one may fall behind a minimum rate, and what becomes of one that does not read."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Pace:
    """Until when a client's next octets must have come or gone.

    It has `most` seconds. Each octet buys the time that it takes at the rate, and no more than `most` are ever in
    stock: one that stands still has them, and one that trickles runs out of them.

    Args:
        now: seconds of a monotonic clock.
        most: seconds that a client may be behind.
        rate: octets a second; 0: every octet buys all of `most`.
    """

    __slots__ = ("_due", "_left", "_most", "_octets", "_rate")

    def __init__(self, now: float, most: float, rate: int) -> None:
        self._most = most
        self._rate = rate
        self._octets = 0
        self._due = now + most
        self._left: float | None = None

    def due(self, now: float, octets: int) -> float:
        """The time by which it must go on; `octets` is how many it has come to by now."""
        if self._left is not None:
            self._due, self._left = now + self._left, None
        if fresh := octets - self._octets:
            self._octets = octets
            self._due = min(self._due + (fresh / self._rate if self._rate else self._most), now + self._most)
        return self._due

    def hold(self, now: float) -> None:
        """The time that passes until `due` is asked again is not the client's."""
        if self._left is None:
            self._left = self._due - now


class Unread(Protocol):
    """The way towards a client, as far as what it has not read counts."""

    def unsent(self) -> int:
        """Octets that wait for the client to read."""

    def abort(self) -> None:
        """End at once."""


class Stall:
    """Watches a client that reads too slowly, from `begin` to `end`; one that falls behind the rate is cut off."""

    __slots__ = ("_before", "_clock", "_loop", "_pace", "_read", "_timer", "_wire")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], wire: Unread, most: float, rate: int
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._wire = wire
        self._pace = Pace(clock(), most, rate)
        self._read = self._before = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """More waits than it reads."""
        if self._timer is None:
            self._before = self._wire.unsent()
            self._watch(self._pace.due(self._clock(), self._read))

    def end(self) -> None:
        """It has caught up."""
        if self._timer is not None:
            self.stop()
            now = self._clock()
            self._pace.due(now, self._count())
            self._pace.hold(now)

    def stop(self) -> None:
        """The connection is gone, or all is well."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """The timer's own call."""
        self._timer = None
        due = self._pace.due(self._clock(), self._count())
        if due <= self._clock():
            self._wire.abort()
        else:
            self._watch(due)

    def _count(self) -> int:
        unsent = self._wire.unsent()
        self._read += max(0, self._before - unsent)
        self._before = unsent
        return self._read

    def _watch(self, due: float) -> None:
        self._timer = self._loop.call_later(due - self._clock(), self.look)
