"""How many sessions are open, counted now and then: whoever asks gets what was counted last."""

import asyncio
from collections.abc import Callable

from ztproxy.identity.sessions.session import KIND
from ztproxy.store.records import Records, RecordsUnavailableError

EVERY = 10.0
"""Seconds between two counts; the store is asked only while somebody wants to know."""


class OpenSessions:
    """Counts sessions in a store.

    Args:
        records: the store.
        wall: seconds since 1970.
        monotonic: seconds.
    """

    def __init__(self, records: Records, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._records = records
        self._wall = wall
        self._monotonic = monotonic
        self._counted: int | None = None
        self._again_at = float("-inf")
        self._counting: asyncio.Task[None] | None = None

    def __call__(self) -> int | None:
        """As many as there were when they were last counted; None: they were not, or could not be."""
        now = self._monotonic()
        if now >= self._again_at and self._counting is None:
            self._again_at = now + EVERY
            self._counting = asyncio.get_running_loop().create_task(self._count())
        return self._counted

    async def settled(self) -> None:
        """Until a count that is under way has come to its end."""
        if self._counting is not None:
            await asyncio.wait((self._counting,))

    async def _count(self) -> None:
        try:
            self._counted = await self._records.count(KIND, self._wall())
        except RecordsUnavailableError:
            self._counted = None
        finally:
            self._counting = None
