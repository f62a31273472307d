"""Records that outlive a request and end by themselves: sessions, what a login put aside, what may be used only once.

A record is opaque octets under an opaque key, counts until a moment, and is changed only by who knows its version. The
first octet of a key says what kind of record it is. Each kind has room of its own, so that a flood of one kind takes
nothing from another; where it is full, new records are refused, and none that counts is ever put out for one.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

LONGEST_KEY = 128
LONGEST_VALUE = 256 * 1024
FIRST_VERSION_BITS = 48
"""A record's first version is so many random bits: one that is made again under a key is not taken for the first."""
MOST_OWNERS = 8
"""Octets; and owners of one record. More is a bug of who asks."""


class Record(msgspec.Struct, frozen=True):
    """What is kept under a key; `until`, in seconds since 1970, is the first moment at which it counts no more."""

    value: bytes
    version: int
    """Anything at first, and one more after each change."""
    until: float


class Page(msgspec.Struct, frozen=True):
    """Some of the records; `cursor` gets the next ones, None: there are no more."""

    records: tuple[tuple[bytes, Record], ...]
    cursor: bytes | None


class RecordsUnavailableError(Exception):
    """The store did not answer in bounded time, or has no room; nothing is known of what was asked.

    Args:
        cause: for the operator's log.
        full: it answers, but takes no more records of this kind.
    """

    def __init__(self, cause: str, *, full: bool = False) -> None:
        super().__init__(cause)
        self.full = full


class Records(Protocol):
    """A store of records, shared by the processes that it reaches. `now` is in seconds since 1970.

    Every method raises `RecordsUnavailableError`, and `ValueError` for sizes beyond those above.
    """

    async def get(self, key: bytes, now: float) -> Record | None:
        """The record that counts under a key."""

    async def add(self, key: bytes, value: bytes, until: float, now: float, owners: Sequence[bytes] = ()) -> bool:
        """Make a record; False: there is one that counts, and it stays. Once in all processes and machines."""

    async def replace(self, key: bytes, version: int, value: bytes, until: float, now: float) -> bool:
        """Change a record that still has this version, and its end; its owners stay. False: nothing was changed."""

    async def take(self, key: bytes, now: float) -> Record | None:
        """Remove a record that counts and give it out: to one who asks, in all processes and machines."""

    async def remove(self, key: bytes) -> bool:
        """Remove a record; whether there was one."""

    async def owned(self, owner: bytes, now: float) -> Sequence[bytes]:
        """The keys of the records that count and have this owner."""

    async def listed(self, kind: bytes, cursor: bytes, most: int, now: float) -> Page:
        """Records of a kind, about so many at once. One that is changed meanwhile may come twice, or not at all.

        Args:
            kind: what their keys begin with.
            cursor: empty at first, then the page's before.
            most: how many.
            now: the time.
        """

    async def count(self, kind: bytes, now: float) -> int:
        """How many records of a kind there are; what ended a moment ago may still be among them."""

    async def close(self) -> None:
        """Give back what was taken."""


def checked(key: bytes, value: bytes = b"", owners: Sequence[bytes] = ()) -> None:
    """Raise `ValueError` for what no store takes."""
    if not 1 < len(key) <= LONGEST_KEY or any(not 1 < len(owner) <= LONGEST_KEY for owner in owners):
        raise ValueError(f"a record's key and owners have 2 to {LONGEST_KEY} octets")
    if len(value) > LONGEST_VALUE or len(owners) > MOST_OWNERS:
        raise ValueError(f"a record has at most {LONGEST_VALUE} octets and {MOST_OWNERS} owners")
