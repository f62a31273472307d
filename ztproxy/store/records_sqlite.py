"""Records in an SQLite file: shared by the processes of one machine, and there again after a restart.

SQLite is asked in a thread of its own, one question at a time: a disk that is slow holds up who asks, nobody else.
"""

import asyncio
import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from ztproxy.store.owned_file import check_private
from ztproxy.store.records import FIRST_VERSION_BITS, Page, Record, RecordsUnavailableError, checked
from ztproxy.store.unusable import StoreError

Answer = TypeVar("Answer")

_SCHEMA = files("ztproxy.store").joinpath("records.sql").read_text()
_APPLICATION = 0x7A74_7063
"""Stands in the file's header, so that no other program's file is taken for one of ours."""
_VERSION = 1
_SWEEP_EVERY = 60.0
"""Seconds between two removals of what counts no more."""
_MAKING = 5.0
"""Seconds that it may take until another process has made the tables."""
_WAITING = 1024
"""Questions that may wait; more are refused."""
_LONGER = 4.0
"""How many times the time of a question may pass until its turn has come and it is answered."""


class SqliteRecords:
    """A `Records` in a file, made with its folder if it is not there.

    Args:
        path: of the file; it has to be ours alone.
        maximum: records of one kind.
        maximum_octets: that these may take.
        timeout: seconds to wait for another process that writes.

    Raises:
        StoreError: the file cannot be used.
    """

    def __init__(
        self, path: Path, *, maximum: int = 65536, maximum_octets: int = 1 << 30, timeout: float = 0.5
    ) -> None:
        self._path = path
        self._maximum = maximum
        self._maximum_octets = maximum_octets
        self._timeout = timeout
        self._waiting = 0
        self._swept_at = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="records")
        self._opened: sqlite3.Connection | None = None
        try:
            _open(path, timeout).close()  # opened again when it is first asked
        except sqlite3.Error as wrong:
            raise StoreError(path, f"cannot be used ({wrong})") from None

    async def get(self, key: bytes, now: float) -> Record | None:
        """See `Records`."""
        return await self._ask(lambda: self._record(key, now))

    async def add(self, key: bytes, value: bytes, until: float, now: float, owners: Sequence[bytes] = ()) -> bool:
        """See `Records`."""
        checked(key, value, owners)

        def add() -> bool:
            with _Transaction(self._connection):
                if self._record(key, now) is not None:
                    return False
                self._sweep(key, now)
                self._refuse_without_room(key, 1, len(value))
                row = (key, value, secrets.randbits(FIRST_VERSION_BITS), until)
                self._connection.execute("INSERT INTO record VALUES (?, ?, ?, ?)", row)
                self._connection.executemany(
                    "INSERT OR IGNORE INTO owner VALUES (?, ?)", [(owner, key) for owner in owners]
                )
                return True

        return await self._ask(add)

    async def replace(self, key: bytes, version: int, value: bytes, until: float, now: float) -> bool:
        """See `Records`."""
        checked(key, value)

        def replace() -> bool:
            with _Transaction(self._connection):
                before = self._record(key, now)
                if before is None or before.version != version:
                    return False
                self._refuse_without_room(key, 0, len(value) - len(before.value))
                row = (value, version + 1, until, key)
                self._connection.execute("UPDATE record SET value = ?, version = ?, until = ? WHERE key = ?", row)
                return True

        return await self._ask(replace)

    async def take(self, key: bytes, now: float) -> Record | None:
        """See `Records`."""

        def take() -> Record | None:
            with _Transaction(self._connection):
                record = self._record(key, now)
                self._connection.execute("DELETE FROM record WHERE key = ?", (key,))
                return record

        return await self._ask(take)

    async def remove(self, key: bytes) -> bool:
        """See `Records`."""

        def remove() -> bool:
            with _Transaction(self._connection):
                return self._connection.execute("DELETE FROM record WHERE key = ?", (key,)).rowcount == 1

        return await self._ask(remove)

    async def owned(self, owner: bytes, now: float) -> Sequence[bytes]:
        """See `Records`."""
        asked = "SELECT key FROM owner JOIN record USING (key) WHERE owner = ? AND until > ?"
        rows = await self._ask(lambda: self._connection.execute(asked, (owner, now)).fetchall())
        return tuple(key for (key,) in rows)

    async def listed(self, kind: bytes, cursor: bytes, most: int, now: float) -> Page:
        """See `Records`."""
        asked = (
            "SELECT key, value, version, until FROM record WHERE key > ? AND substr(key, 1, 1) = ? ORDER BY key LIMIT ?"
        )
        after = max(cursor, kind)
        rows = await self._ask(lambda: self._connection.execute(asked, (after, kind, most)).fetchall())
        counting = tuple((key, Record(*of)) for key, *of in rows if now < of[2])
        return Page(counting, rows[-1][0] if len(rows) == most else None)

    async def count(self, kind: bytes, now: float) -> int:
        """See `Records`."""
        asked = "SELECT records FROM room WHERE kind = ?"

        def count() -> int:
            with _Transaction(self._connection):
                self._sweep(kind, now)
            row = self._connection.execute(asked, (kind,)).fetchone()
            return 0 if row is None else int(row[0])

        return await self._ask(count)

    async def close(self) -> None:
        """See `Records`."""

        def close() -> None:
            if self._opened is not None:
                self._opened.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, close)
        self._thread.shutdown(wait=False)

    @property
    def _connection(self) -> sqlite3.Connection:
        """For the thread alone."""
        if self._opened is None:
            self._opened = _connect(self._path, self._timeout)
        return self._opened

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Its answer, in bounded time: a question that is late may still be done, but nobody is told."""
        if self._waiting >= _WAITING:
            raise RecordsUnavailableError(f"{self._path}: too many wait for it")
        self._waiting += 1
        asked = asyncio.get_running_loop().run_in_executor(self._thread, question)
        asked.add_done_callback(self._answered)
        done, _ = await asyncio.wait((asked,), timeout=self._timeout * _LONGER)
        if not done:
            raise RecordsUnavailableError(f"{self._path}: no answer within {self._timeout * _LONGER:g} s")
        try:
            return asked.result()
        except sqlite3.Error as wrong:
            raise RecordsUnavailableError(f"{self._path}: {wrong}") from None

    def _answered(self, asked: "asyncio.Future[Answer]") -> None:
        self._waiting -= 1
        if not asked.cancelled():
            asked.exception()  # who left does not need to be told

    def _record(self, key: bytes, now: float) -> Record | None:
        row = self._connection.execute("SELECT value, version, until FROM record WHERE key = ?", (key,)).fetchone()
        return Record(*row) if row is not None and now < row[2] else None

    def _refuse_without_room(self, key: bytes, records: int, octets: int) -> None:
        row = self._connection.execute("SELECT records, octets FROM room WHERE kind = ?", (key[:1],)).fetchone()
        taken = (0, 0) if row is None else row
        if (records and taken[0] + records > self._maximum) or (
            octets > 0 and taken[1] + octets > self._maximum_octets
        ):
            raise RecordsUnavailableError(f"{self._path}: there is no room for more records", full=True)

    def _sweep(self, key: bytes, now: float) -> None:
        """Remove what counts no more: now and then, and what stands under the key itself at once."""
        self._connection.execute("DELETE FROM record WHERE key = ? AND until <= ?", (key, now))
        if not self._swept_at <= now < self._swept_at + _SWEEP_EVERY:
            self._swept_at = now
            self._connection.execute("DELETE FROM record WHERE until <= ?", (now,))


class _Transaction:
    """From here on nobody else writes, until all is written or nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise


def _open(path: Path, timeout: float) -> sqlite3.Connection:
    """The file, which nobody else may read; SQLite gives what it makes beside it the same mode.

    One that is there is not opened but by SQLite: to close it would give up the locks of all that this process has on
    it (https://sqlite.org/howtocorrupt.html §2.2).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = path.parent.stat()
        if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or (hasattr(os, "geteuid") and folder.st_uid != os.geteuid()):
            raise StoreError(path.parent, "the folder has to be ours, and writable by nobody else")
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        check_private(path, path.lstat())
    except OSError as wrong:
        raise StoreError(path, f"cannot be used ({wrong.strerror or wrong})") from None
    connection = _connect(path, timeout)
    try:
        _prepare(path, connection, timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema = OFF")
    # What was ended does not come back when the power fails.
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _prepare(path: Path, connection: sqlite3.Connection, timeout: float) -> None:
    """Make the tables, or find them there. Several processes may come here at once."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if (application, version) == (_APPLICATION, _VERSION):
        return
    if tables or application or version:
        raise StoreError(path, "is another program's, or of another version")
    until = time.monotonic() + max(timeout, _MAKING)
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; "
                f"PRAGMA user_version = {_VERSION}; COMMIT"
            )
        except sqlite3.OperationalError:  # another process makes it: SQLite does not wait where it changes the journal
            if connection.in_transaction:
                connection.rollback()
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
