"""An answer that is asked for at most so often, however many want it: asking costs the workers, and anybody may."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Fresh(Generic[Answer]):
    """Gives the same answer to all who ask within a time; those who come while it is being made wait for it.

    Args:
        make: gives the answer; what it raises is raised to all who wait, and not kept.
        seconds: for how long an answer is good.
        clock: monotonic, seconds.
    """

    def __init__(
        self, make: Callable[[], Awaitable[Answer]], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._seconds = seconds
        self._clock = clock
        self._made: tuple[float, Answer] | None = None
        """When the answer was begun, and what it is."""
        self._making: asyncio.Task[Answer] | None = None

    async def __call__(self) -> Answer:
        """The answer."""
        now = self._clock()
        if self._made is not None and now < self._made[0] + self._seconds:
            return self._made[1]
        if self._making is None:
            self._making = asyncio.get_running_loop().create_task(self._make_one(now))
        return await asyncio.shield(self._making)  # one who leaves takes it from nobody

    async def _make_one(self, now: float) -> Answer:
        try:
            answer = await self._make()
            self._made = now, answer
        finally:
            self._making = None
        return answer
