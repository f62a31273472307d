"""How much a process has taken on, and when it takes no more: `overload` in the configuration.

A request under way is a count; whether the event loop is late or memory short is looked at a few times a second and
kept as a bound on that count. So a request is told that it is too much by one comparison.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from math import ceil, inf

from ztproxy.config.edge import Overload
from ztproxy.model import Reason, Refusal

EVERY = 0.1
"""Seconds between two looks."""
REQUESTS, LOOP_LAG, MEMORY = "overload.requests", "overload.loop_lag", "overload.memory"


class Load:
    """One process's load; its attributes are for everybody to read, and `in_flight` for an exchange to count.

    Args:
        overload: the bounds.
        resident: tells the process's resident memory in octets; needed with `overload.memory`.
        clock: monotonic, seconds.
    """

    __slots__ = (
        "_causes", "_clock", "_due", "_late_before", "_loop", "_most", "_refusal", "_resident", "_timer", "in_flight",
        "limit", "loop_lag", "memory", "overload", "refused",
    )  # fmt: skip

    def __init__(
        self,
        overload: Overload,
        resident: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if overload.memory is not None and resident is None:
            raise ValueError("overload.memory: how much memory the process has cannot be told on this system")
        self.overload = overload
        self.in_flight = 0
        """Requests under way, streams included."""
        self._most: float = inf if overload.requests is None else overload.requests
        self.limit = self._most
        """No request begins once more than so many are under way; 0 while the loop is late or memory short."""
        self.loop_lag = 0.0
        """Seconds that the event loop was late when last looked at."""
        self.memory = 0
        """Octets resident when last looked at; 0 when not looked at."""
        self.refused: Counter[str] = Counter()
        """Requests refused, by the bound they ran into."""
        after = str(ceil(overload.retry_after)).encode()
        self._refusal = Refusal(Reason.OVERLOADED, fields=((b"retry-after", after),))
        self._resident = resident if overload.memory is not None else None
        self._clock = clock
        self._late_before = False
        self._causes: tuple[str, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    @property
    def overloaded(self) -> bool:
        """Whether a request that came now would be refused."""
        return self.in_flight >= self.limit

    def refuse(self) -> Refusal:
        """What a request is told that is too much."""
        self.refused[self._causes[0] if self._causes else REQUESTS] += 1
        return self._refusal

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look from now on."""
        self._loop = loop
        self._wait()

    def stop(self) -> None:
        """Look no more, and refuse nothing on the strength of an old look."""
        self.limit, self._causes, self._loop = self._most, (), None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """The timer's own call: how late is it, and how much memory is there?"""
        overload = self.overload
        self.loop_lag = max(0.0, self._clock() - self._due)
        late = overload.loop_lag is not None and self.loop_lag > overload.loop_lag
        causes = []
        if late and self._late_before:  # a single hiccup is no overload
            causes.append(LOOP_LAG)
        self._late_before = late
        if self._resident is not None and overload.memory is not None:
            self.memory = self._resident()
            if self.memory > overload.memory:
                causes.append(MEMORY)
        self._causes = tuple(causes)
        self.limit = 0 if causes else self._most
        self._wait()

    def _wait(self) -> None:
        if self._loop is not None:
            self._due = self._clock() + EVERY
            self._timer = self._loop.call_later(EVERY, self.look)


def unbounded() -> Load:
    """Counts, and refuses nothing."""
    return Load(Overload())
