"""How long to wait before a worker that died is started again."""

from collections.abc import Callable

FIRST = 0.1
LONGEST = 30.0
"""Seconds."""
STEADY = 60.0
"""Seconds that a worker must have served for its death to count as the first."""


class Backoff:
    """Doubles with each death in a row.

    Args:
        clock: monotonic, seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deaths = 0
        self._began = clock()

    def began(self) -> None:
        """A worker was started."""
        self._began = self._clock()

    def died(self) -> float:
        """It died: the seconds until the next one may start."""
        if self._clock() - self._began >= STEADY:
            self._deaths = 0
        self._deaths += 1
        return min(FIRST * 2.0 ** min(self._deaths - 1, 20), LONGEST)
