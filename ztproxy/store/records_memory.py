"""Records in the memory of one process: gone with it, and seen by no other."""

import secrets
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import msgspec

from ztproxy.store.records import FIRST_VERSION_BITS, Page, Record, RecordsUnavailableError, checked

_OVERHEAD = 512
"""Octets that a record takes beside its value, about."""


class _Kept(msgspec.Struct):
    record: Record
    owners: tuple[bytes, ...]

    @property
    def octets(self) -> int:
        return len(self.record.value) + _OVERHEAD


class MemoryRecords:
    """A `Records` of this process.

    Args:
        maximum: records of one kind.
        maximum_octets: that these may take.
    """

    def __init__(self, maximum: int = 65536, maximum_octets: int = 256 * 1024 * 1024) -> None:
        self._maximum = maximum
        self._maximum_octets = maximum_octets
        self._kept: dict[bytes, _Kept] = {}
        self._owned: dict[bytes, set[bytes]] = {}
        self._ends: list[tuple[float, bytes]] = []
        """A heap; an entry whose record ends later now, or is gone, says nothing."""
        self._number: dict[int, int] = {}
        self._octets: dict[int, int] = {}

    async def get(self, key: bytes, now: float) -> Record | None:
        """See `Records`."""
        kept = self._kept.get(key)
        return kept.record if kept is not None and now < kept.record.until else None

    async def add(self, key: bytes, value: bytes, until: float, now: float, owners: Sequence[bytes] = ()) -> bool:
        """See `Records`."""
        checked(key, value, owners)
        self._sweep(now)
        if key in self._kept:
            return False
        self._take_room(key, 1, len(value) + _OVERHEAD)
        self._kept[key] = _Kept(Record(value, secrets.randbits(FIRST_VERSION_BITS), until), tuple(owners))
        for owner in owners:
            self._owned.setdefault(owner, set()).add(key)
        heappush(self._ends, (until, key))
        return True

    async def replace(self, key: bytes, version: int, value: bytes, until: float, now: float) -> bool:
        """See `Records`."""
        checked(key, value)
        kept = self._kept.get(key)
        if kept is None or now >= kept.record.until or kept.record.version != version:
            return False
        self._take_room(key, 0, len(value) - len(kept.record.value))
        kept.record = Record(value, version + 1, until)
        heappush(self._ends, (until, key))
        if len(self._ends) > 4 * len(self._kept) + 64:
            self._ends = [(one.record.until, at) for at, one in self._kept.items()]
            heapify(self._ends)
        return True

    async def take(self, key: bytes, now: float) -> Record | None:
        """See `Records`."""
        record = await self.get(key, now)
        self._remove(key)
        return record

    async def remove(self, key: bytes) -> bool:
        """See `Records`."""
        return self._remove(key)

    async def owned(self, owner: bytes, now: float) -> Sequence[bytes]:
        """See `Records`."""
        return tuple(key for key in self._owned.get(owner, ()) if now < self._kept[key].record.until)

    async def listed(self, kind: bytes, cursor: bytes, most: int, now: float) -> Page:
        """See `Records`."""
        keys = sorted(key for key in self._kept if key.startswith(kind) and key > cursor)
        here = keys[:most]
        records = tuple((key, self._kept[key].record) for key in here)
        counting = tuple((key, record) for key, record in records if now < record.until)
        return Page(counting, here[-1] if len(keys) > most else None)

    async def count(self, kind: bytes, now: float) -> int:
        """See `Records`."""
        self._sweep(now)
        return self._number.get(kind[0], 0)

    async def close(self) -> None:
        """See `Records`."""
        self._kept.clear()
        self._owned.clear()
        self._ends.clear()
        self._number.clear()
        self._octets.clear()

    def _take_room(self, key: bytes, number: int, octets: int) -> None:
        kind = key[0]
        records, taken = self._number.get(kind, 0) + number, self._octets.get(kind, 0) + octets
        if (number > 0 and records > self._maximum) or (octets > 0 and taken > self._maximum_octets):
            raise RecordsUnavailableError("there is no room for more records in memory", full=True)
        self._number[kind], self._octets[kind] = records, taken

    def _remove(self, key: bytes) -> bool:
        kept = self._kept.pop(key, None)
        if kept is None:
            return False
        self._take_room(key, -1, -kept.octets)
        for owner in kept.owners:
            keys = self._owned[owner]
            keys.discard(key)
            if not keys:
                del self._owned[owner]
        return True

    def _sweep(self, now: float) -> None:
        """Let go of what counts no more."""
        while self._ends and self._ends[0][0] <= now:
            _, key = heappop(self._ends)
            kept = self._kept.get(key)
            if kept is not None and kept.record.until <= now:
                self._remove(key)
