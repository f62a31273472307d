"""How late the event loop comes to what is due: what every request under way waits as well."""

import asyncio
from collections.abc import Callable

EVERY = 0.25
"""Seconds between two measurements."""


class LoopLag:
    """Sets itself a timer again and again and tells how late it rang.

    Args:
        loop: the loop that is watched.
        tell: takes seconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[float], None]) -> None:
        self._loop = loop
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure from now on."""
        due = self._loop.time() + EVERY
        self._timer = self._loop.call_at(due, self._ring, due)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self, due: float) -> None:
        self._tell(max(0.0, self._loop.time() - due))
        self.start()
