"""Small records that the processes of a machine share: a key, a whole number, and the moment until which it counts.

A record falls into one of two sets of sixteen, both given by its key's hash under the file's secret, and a record
whose moment has passed makes room; any other one stays, or whoever fills the table could have it forgotten. So the
table never grows, and nothing has to be swept.

    record, 32 octets   hash of the key (16), until (8, microseconds of the machine's monotonic clock), value (8)
"""

import hashlib
import os
import struct
import time
import weakref
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

from ztproxy.store.file import HEADER, TableFile, open_file
from ztproxy.store.locking import lock, unlock
from ztproxy.store.unusable import StoreError

_WAYS = 16
_RECORD = struct.Struct("<16sQQ")
_PAIR = struct.Struct("<QQ")
_ENDS = struct.Struct("<" + "16xQ8x" * _WAYS)
SET = _WAYS * _RECORD.size
"""Octets of a set."""
PATIENCE = 0.25
"""Seconds that a lock is waited for: its holder needs microseconds, unless it was stopped or has no processor."""
OPENING = 5.0
"""Seconds that another process may take to make the file, at the start."""
_PLACES = 16384
"""Keys whose place is remembered."""
Record = tuple[int, int, int]
"""Where it is, until when it counts, and its value."""
ABSENT = (-1, 0, 0)


class FullError(Exception):
    """There is no room for another key: none of those in its two sets has come to its end."""


class Place:
    """Where a key may be: its hash, where its two sets begin, and where its record was when last seen."""

    __slots__ = ("digest", "seen", "sets")

    def __init__(self, digest: bytes, sets: tuple[int, int]) -> None:
        self.digest = digest
        self.sets = sets
        self.seen = 0


class Table:
    """A table in a file. Each process opens it for itself; one thread of a process uses it.

    `get`, `add` and `compare_and_set` are each one step that no other process sees half of. Who needs more in one
    step takes the lock itself and uses `find`, `vacancy` and `put` under it.
    """

    def __init__(self, file: TableFile, sets: int, patience: float) -> None:
        """See `open`."""
        self._file = file
        self._descriptor = file.descriptor
        self._patience = patience
        self.place: Callable[[str], Place] = lru_cache(maxsize=_PLACES)(partial(_place, file.secret, sets))
        """Where a key may be; remembered for those in use."""
        self._closing = weakref.finalize(self, os.close, file.descriptor)

    @classmethod
    def open(cls, folder: Path, name: str, maximum: int, patience: float = PATIENCE, opening: float = OPENING) -> Self:
        """Open the table, made if it is not there.

        Args:
            folder: of all tables of the program; it must belong to us, and be writable by nobody else.
            name: of the table.
            maximum: how many records it can hold; part of the file's name. About one in twenty more than is used
                should be there: a key's two sets can be full while others are not.
            patience: seconds that a step may wait for other processes.
            opening: seconds that another process may take to make it.

        Raises:
            StoreError: it cannot be used safely; see `ztproxy.store.file`.
        """
        sets = max(1, maximum // _WAYS)
        return cls(open_file(folder, name, sets, SET, opening), sets, patience)

    @property
    def path(self) -> Path:
        """Its file."""
        return self._file.path

    @property
    def in_place(self) -> bool:
        """Whether a process that opens the table now gets this one, not another file that took its place."""
        return self._file.in_place

    @staticmethod
    def now() -> int:
        """Microseconds of the clock that all processes of this machine share; read under the lock, never goes back."""
        return time.monotonic_ns() // 1000

    def get(self, key: str) -> tuple[int, int] | None:
        """A key's value and the moment until which it counts; None when there is none that counts."""
        self.lock()
        try:
            at, until, value = self.find(self.place(key))
            return (value, until) if at >= 0 and until >= self.now() else None
        finally:
            self.unlock()

    def add(self, key: str, value: int, until: int) -> bool:
        """Note a key until a moment; False, and nothing is done, when it is there already and still counts.

        Raises:
            FullError: there is no room for it.
        """
        return self._set(key, None, value, until)

    def compare_and_set(self, key: str, expected: int | None, value: int, until: int) -> bool:
        """Set a key's value if it is the expected one (None: there is none that counts); whether it was set.

        Raises:
            FullError: there is no room for it.
        """
        return self._set(key, expected, value, until)

    def _set(self, key: str, expected: int | None, value: int, until: int) -> bool:
        place = self.place(key)
        self.lock()
        try:
            now = self.now()
            at, ends, before = self.find(place)
            if (before if at >= 0 and ends >= now else None) != expected:
                return False
            if at < 0 and (at := self.vacancy(place, now)) < 0:
                raise FullError
            self.put(place, at, until, value)
            return True
        finally:
            self.unlock()

    def lock(self, patience: float | None = None) -> None:
        """Keep other processes out; raises StoreError when it cannot be had in time."""
        if self._descriptor < 0:
            raise StoreError(self._file.path, "was closed")
        lock(self._descriptor, self._file.path, self._patience if patience is None else patience)

    def unlock(self) -> None:
        """Let them in again."""
        unlock(self._descriptor)

    def find(self, place: Place) -> Record:
        """A key's record, whether it counts or not; `ABSENT` when there is none."""
        digest = place.digest
        if at := place.seen:
            record = os.pread(self._descriptor, _RECORD.size, at)
            if record.startswith(digest):
                until, value = _PAIR.unpack_from(record, 16)
                return at, until, value
        for start in place.sets:
            records = self._read(start)
            at = records.find(digest)
            while at >= 0:
                if at % _RECORD.size == 0:
                    place.seen = start + at
                    until, value = _PAIR.unpack_from(records, at + 16)
                    return place.seen, until, value
                at = records.find(digest, at + 1)
        return ABSENT

    def vacancy(self, place: Place, now: int, taken: Collection[int] = ()) -> int:
        """Where a new key's record may go, at none of the places `taken`; -1: nowhere.

        In the set with fewer records that count, and there in place of the one that came to its end the longest ago:
        a key in use is found again, though its record may have ended a moment ago.
        """
        best, fewest = -1, _WAYS + 1
        for start in place.sets:
            ends = _ENDS.unpack(self._read(start))
            counting = sum(map(now.__le__, ends))
            if counting < fewest and (free := _oldest(start, ends, now, taken)) >= 0:
                best, fewest = free, counting
        return best

    def put(self, place: Place, at: int, until: int, value: int) -> None:
        """Write a key's record at a place."""
        os.pwrite(self._descriptor, _RECORD.pack(place.digest, until, value), at)
        place.seen = at

    def _read(self, start: int) -> bytes:
        records = os.pread(self._descriptor, SET, start)
        if len(records) != SET:
            raise StoreError(self._file.path, "was cut short")
        return records

    def close(self) -> None:
        """Close the file; its records stay for the others. Its number may soon be another file's: it is forgotten."""
        self._descriptor = -1
        self._closing()


def _place(secret: bytes, sets: int, key: str) -> Place:
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16, key=secret).digest()
    first, second = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
    return Place(digest, (HEADER + first % sets * SET, HEADER + second % sets * SET))


def _oldest(start: int, ends: tuple[int, ...], now: int, taken: Collection[int]) -> int:
    """The place of the record in a set that came to its end first; -1 when none has."""
    if not taken:
        first = min(ends)
        return start + ends.index(first) * _RECORD.size if first < now else -1
    places = (start + way * _RECORD.size for way in range(_WAYS))
    free = [(until, at) for until, at in zip(ends, places, strict=True) if until < now and at not in taken]
    return min(free)[1] if free else -1
