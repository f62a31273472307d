"""Token buckets that all processes of a machine share, in a table of `ztproxy.store`: quick enough to be waited for.

A bucket is kept as the moment at which it is full again, and what that moment was rounded up by: with the pace, which
its key stands for, the level is the same to the last digit as `ztproxy.limits.memory` keeps it.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from limits.errors import StorageError

from ztproxy.limits.bucket import SECOND, Quota
from ztproxy.limits.token_bucket import BucketState, Charge, TokenBucketSupport, settle
from ztproxy.store import Place, Record, StoreError, Table

NAME = "buckets"
"""Of the table."""
_LOOK = 1.0
"""Seconds between looks at whether the file is still the one that others open."""
_PROBES = (0.1, 0.2, 0.4, 1.0)
"""Seconds between attempts to use a table that could not be used."""
_PROBE_PATIENCE = 0.002
"""Seconds that an attempt may wait, while every request is refused anyway."""


class TokenBucketMachineStorage(TokenBucketSupport):
    """Charges under the table's lock, by the machine's clock; it never awaits anything.

    Only buckets that are full again make room for new ones; when there is none, new keys are refused. A charge that
    fails in any way, a process that holds the lock for long included, has charged nothing, and for some time after it
    everything is refused at once.
    """

    def __init__(
        self, folder: Path, *, maximum_buckets: int, timeout: float, report: Callable[[str], None] = lambda _: None
    ) -> None:
        """Open the table, made if it is not there.

        Args:
            folder: of the machine's tables.
            maximum_buckets: how many buckets it can hold; part of the table's name.
            timeout: longest wait for a process that holds the table, in seconds.
            report: told when the table cannot be used, and when it can be again.

        Raises:
            StoreError: it cannot be used safely.
        """
        self._folder = folder
        self._maximum = maximum_buckets
        self._timeout = timeout
        self._report = report
        self._table = Table.open(folder, NAME, maximum_buckets, timeout)
        self._look_at = time.monotonic() + _LOOK
        self._failures = 0
        self._cause = ""

    @property
    def path(self) -> Path:
        """The table's file."""
        return self._table.path

    @property
    def away(self) -> bool:
        """Whether it could not be used when last tried."""
        return self._failures > 0

    async def acquire_tokens(self, charges: Sequence[Charge], now: int | None = None) -> Sequence[BucketState]:
        """Charge, by the machine's clock unless `now` is given; never suspends."""
        moment = time.monotonic()
        if moment < self._look_at:
            if self._failures:
                raise StorageError(RuntimeError(self._cause))
            try:
                return self.take(charges, now)
            except (StoreError, OSError) as wrong:
                raise self._failed(wrong) from None
        return self._look(charges, now, moment)

    def _look(self, charges: Sequence[Charge], now: int | None, moment: float) -> Sequence[BucketState]:
        """See whether the file is still in its place, and charge."""
        try:
            if not self._table.in_place:
                self._reopen()
            if self._failures:
                self._table.lock(_PROBE_PATIENCE)
                self._table.unlock()
            states = self.take(charges, now)
        except (StoreError, OSError) as wrong:
            raise self._failed(wrong) from None
        self._look_at = moment + _LOOK
        if self._failures:
            self._failures = 0
            self._report("limits: the machine's table can be used again")
        return states

    def _reopen(self) -> None:
        table = Table.open(self._folder, NAME, self._maximum, self._timeout, opening=_PROBE_PATIENCE)
        self._table.close()
        self._table = table
        self._report(f"limits: {table.path} was removed or replaced; its buckets begin full")

    def _failed(self, wrong: Exception) -> StorageError:
        """Refuse everything for a while; returns what to raise."""
        self._cause = str(wrong)
        if not self._failures:
            self._report(f"limits: the machine's table cannot be used ({self._cause})")
        self._look_at = time.monotonic() + _PROBES[min(self._failures, len(_PROBES) - 1)]
        self._failures += 1
        return StorageError(RuntimeError(self._cause))

    def take(self, charges: Sequence[Charge], now: int | None = None) -> list[BucketState]:
        """Charge all the buckets or, if an enforced one has not enough tokens, none; see `acquire_tokens`.

        Raises:
            StoreError, OSError: the table cannot be used.
        """
        if len(charges) == 1:
            return [self._take_one(charges[0], now)]
        table = self._table
        places = [table.place(charge.key) for charge in charges]
        table.lock()
        try:
            moment = table.now() if now is None else now
            found = [table.find(place) for place in places]
            spots = self._spots(places, found, moment)
            levels = [
                None if at < 0 else self._level(charge.quota, record, moment)
                for charge, at, record in zip(charges, spots, found, strict=True)
            ]
            states, allowed = settle(charges, levels)
            if allowed:
                for charge, place, at, state in zip(charges, places, spots, states, strict=True):
                    if state.admitted:
                        self._keep(place, at, charge.quota.pace, moment, state.level)
        finally:
            table.unlock()
        return states

    def _take_one(self, charge: Charge, now: int | None) -> BucketState:
        """As `take` with one charge, which nearly every request needs."""
        table, quota = self._table, charge.quota
        place = table.place(charge.key)
        table.lock()
        try:
            moment = table.now() if now is None else now
            record = table.find(place)
            at, level = record[0], self._level(quota, record, moment)
            if at < 0 and (at := table.vacancy(place, moment)) < 0:
                return BucketState(admitted=False, level=quota.capacity, refused_new=True)
            after = level + charge.cost * quota.interval
            if after > quota.capacity:
                return BucketState(False, level)  # noqa: FBT003 - by position is half the time
            self._keep(place, at, quota.pace, moment, after)
        finally:
            table.unlock()
        return BucketState(True, after)  # noqa: FBT003 - likewise

    def _spots(self, places: Sequence[Place], found: Sequence[Record], moment: int) -> list[int]:
        """Where each bucket is or may go, no two in one place unless they are one; -1 where there is no room."""
        if min(found)[0] >= 0:
            return [at for at, _, _ in found]
        made: dict[bytes, int] = {}
        taken = {at for at, _, _ in found}
        spots: list[int] = []
        for place, (at, _, _) in zip(places, found, strict=True):
            if at < 0 and place.digest not in made:
                made[place.digest] = self._table.vacancy(place, moment, taken)
                taken.add(made[place.digest])
            spots.append(at if at >= 0 else made[place.digest])
        return spots

    def _level(self, quota: Quota, record: Record, moment: int) -> int:
        """A bucket's level by what was found of it."""
        _, until, short = record
        if until <= moment:
            return 0
        level = (until - moment) * quota.pace - short
        if level > quota.capacity + quota.pace * SECOND:
            raise StoreError(self._table.path, "is damaged: a bucket is fuller than any charge leaves it")
        return max(0, level)

    def _keep(self, place: Place, at: int, pace: int, moment: int, level: int) -> None:
        short = -level % pace
        self._table.put(place, at, moment + (level + short) // pace, short)

    async def close(self) -> None:
        """Close the file; what is in it stays for the others."""
        self._table.close()
