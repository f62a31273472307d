"""The decision log: every decision of the policy in a SQLite file, written by a thread of its own."""

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Self

import ztproxy
from ztproxy.model import Admitted, Authorized, Decision, Outcome
from ztproxy.observe import event
from ztproxy.observe.lines import to_stderr
from ztproxy.observe.times import Clockface

RETAINED = 1_000_000
"""Decisions kept; the oldest go first."""
_WAITING = 10_000
"""Decisions that may wait to be written."""
_WAITING_SIZE = 64 * 1024 * 1024
"""Octets that those may hold: clients choose how large their requests are."""
_OVERHEAD = 1024
"""Octets of a decision beside its documents, roughly."""
_BATCH = 500
_GATHER = 0.05
"""Seconds in which decisions gather into one transaction."""
_AGAIN = 1.0
"""Seconds until a failed write is tried again."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    request_id TEXT PRIMARY KEY,
    time REAL NOT NULL,
    allow INTEGER NOT NULL,
    route TEXT NOT NULL,
    event TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS decisions_time ON decisions (time);
"""
_Waiting = tuple[Authorized | Admitted, Decision]


class DecisionLog:
    """Records outcomes that carry a decision, without delaying their requests.

    While the file cannot be written, decisions wait, boundedly; those beyond are lost and counted. With
    `required` the pipeline asks `available` and refuses instead.
    """

    def __init__(
        self,
        path: Path,
        *,
        required: bool,
        entrypoint: str,
        labels: Mapping[str, str],
        reads: Callable[[], Collection[event.Path]],
        report: Callable[[str], None],
        retained: int,
        waiting: int,
        waiting_size: int,
    ) -> None:
        """See `open`."""
        self.lost = 0
        self._path, self._required, self._report = path, required, report
        self._entrypoint, self._labels, self._reads = entrypoint, labels, reads
        self._retained, self._bound, self._size_bound = retained, waiting, waiting_size
        self._taken = 0  # octets, counted by the caller's thread alone
        self._given = 0  # octets, counted by the writing thread alone
        self._waiting: deque[_Waiting] = deque()
        self._time = Clockface()
        self._failing = False
        self._wake, self._closing = Event(), Event()
        self._database: sqlite3.Connection | None = None
        self._thread = Thread(target=self._run, name="decisions", daemon=True)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        required: bool,
        entrypoint: str,
        labels: Mapping[str, str] | None = None,
        reads: Callable[[], Collection[event.Path]] = tuple,
        report: Callable[[str], None] = to_stderr,
        retained: int = RETAINED,
        waiting: int = _WAITING,
        waiting_size: int = _WAITING_SIZE,
    ) -> Self:
        """Open the file, made with mode 0600.

        Args:
            path: the SQLite file.
            required: whether requests are refused while it cannot be written.
            entrypoint: what the policy was asked for.
            labels: beside `app` and `version`, what tells this proxy from others.
            reads: places in the input that the policy reads and whose values may be told; see `event.recorded`.
            report: told once when writing begins to fail, and once when it goes again.
            retained: decisions kept.
            waiting: decisions that may wait to be written.
            waiting_size: octets that those may hold, roughly.

        Raises:
            OSError: the file cannot be written and `required` is true.
        """
        log = cls(
            path,
            required=required,
            entrypoint=entrypoint,
            labels={"app": "ztproxy", "version": ztproxy.__version__, **(labels or {})},
            reads=reads,
            report=report,
            retained=retained,
            waiting=waiting,
            waiting_size=waiting_size,
        )
        try:
            log._connect()
        except (OSError, sqlite3.Error) as wrong:
            if required:
                raise OSError(f"{path}: {wrong}") from wrong
            log._failed(wrong)
        log._thread.start()
        return log

    @property
    def healthy(self) -> bool:
        """Whether the last write went well and there is room for more."""
        return not self._failing and self._room and self._thread.is_alive()

    @property
    def _room(self) -> bool:
        return len(self._waiting) < self._bound and self._taken - self._given < self._size_bound

    def available(self) -> bool:
        """Whether requests may go on: false where decisions have to be recorded and cannot be."""
        return not self._required or self.healthy

    def record(self, outcome: Outcome) -> None:
        """Take an outcome; one without a decision is none of this log's business."""
        found = event.decided(outcome)
        if found is None:
            return
        if not self._room:
            self.lost += 1
            return
        self._taken += _size(found)
        self._waiting.append(found)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, for at most `timeout` seconds, and close."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(_GATHER)
            self._wake.clear()
            while self._waiting and not self._write_batch():
                if self._closing.wait(_AGAIN):
                    break
        while self._waiting and self._write_batch():
            pass
        self.lost += len(self._waiting)
        if self._database is not None:
            self._database.close()

    def _write_batch(self) -> bool:
        """Write some of what waits; what cannot be written goes on waiting."""
        batch = [self._waiting[place] for place in range(min(_BATCH, len(self._waiting)))]
        try:
            database = self._connect()
            with database:
                database.executemany(
                    "INSERT OR IGNORE INTO decisions VALUES (?, ?, ?, ?, ?)", [self._row(*each) for each in batch]
                )
                database.execute(
                    "DELETE FROM decisions WHERE rowid <= (SELECT max(rowid) FROM decisions) - ?", (self._retained,)
                )
        except (OSError, sqlite3.Error) as wrong:
            self._failed(wrong)
            return False
        for _ in batch:
            self._given += _size(self._waiting.popleft())
        if self._failing:
            self._failing = False
            self._report(f"decision log {self._path}: written again; {self.lost} decisions were lost so far")
        return True

    def _row(self, at: Authorized | Admitted, decision: Decision) -> tuple[str, float, bool, str, str]:
        row = event.recorded(
            at,
            decision,
            timestamp=self._time(at.arrived.wall),
            path=self._entrypoint,
            labels=self._labels,
            reads=self._reads(),
        )
        return row.request_id, row.time, row.allow, row.route, row.event.decode(errors="replace")

    def _connect(self) -> sqlite3.Connection:
        if self._database is None:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            database = sqlite3.connect(self._path, timeout=1.0, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = NORMAL")
                database.executescript(_SCHEMA)
            except sqlite3.Error:
                database.close()
                raise
            self._database = database
        return self._database

    def _failed(self, wrong: Exception) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        if not self._failing:
            self._failing = True
            self._report(f"decision log {self._path}: cannot be written: {wrong}")


def _size(waiting: _Waiting) -> int:
    decision = waiting[1]
    return len(decision.document) + len(decision.result) + _OVERHEAD
