"""Lines written to a file or stream by a thread of their own, so that a slow disk delays no request.

What waits is bounded; lines beyond that are dropped and counted, never waited for.
"""

import os
import select
import stat
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

_GATHER = 0.05
"""Seconds in which lines gather into one write."""
_BOUND = 8 * 1024 * 1024
"""Octets that may wait."""
_WHOLE = getattr(select, "PIPE_BUF", 512)
"""Octets that a pipe takes whole or not at all, whoever else writes to it."""
_STREAMS = {"stdout": 1, "stderr": 2}
_NEWLINE = b"\n"


def to_stderr(line: str) -> None:
    """Tell the operator."""
    sys.stderr.write(f"ztproxy: {line}\n")
    sys.stderr.flush()


class Lines:
    """Takes lines without ever blocking; `lost` counts those that could not be kept or written."""

    def __init__(self, target: str, report: Callable[[str], None] = to_stderr, bound: int = _BOUND) -> None:
        """Open the target: `stdout`, `stderr` or a path, which is made with mode 0640.

        Args:
            target: where lines go.
            report: told once when lines begin to be lost, and once when they are written again.
            bound: octets that may wait to be written.

        Raises:
            OSError: the file cannot be opened.
        """
        self.lost = 0
        self._target = target
        self._report = report
        self._bound = bound
        self._descriptor = self._open()
        self._piecewise = not _is_file(self._descriptor)
        self._waiting: deque[bytes] = deque()
        self._taken = 0  # octets, counted by the caller's thread alone
        self._given = 0  # octets, counted by the writing thread alone
        self._dropped = 0  # lines, counted by the caller's thread alone
        self._failed = 0  # lines, counted by the writing thread alone
        self._told = 0
        self._losing = False
        self._midline = False
        self._wake, self._closing, self._reopening = Event(), Event(), Event()
        self._writer = Thread(target=self._run, name=f"log {target}", daemon=True)
        self._writer.start()

    def _open(self) -> int:
        if self._target in _STREAMS:
            return _STREAMS[self._target]
        return os.open(Path(self._target), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def write(self, line: bytes) -> None:
        """Take one line, newline included."""
        size = len(line)
        if self._taken - self._given + size > self._bound:
            self._dropped += 1
            self.lost = self._dropped + self._failed
        else:
            self._taken += size
            self._waiting.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def reopen(self) -> None:
        """Open the path anew, as after a rotation; what waits goes to the new file."""
        self._reopening.set()
        self._wake.set()

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, for at most `timeout` seconds, and close."""
        self._closing.set()
        self._wake.set()
        self._writer.join(timeout)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            closing = self._closing.wait(_GATHER)
            self._wake.clear()
            if self._reopening.is_set():
                self._reopen()
            self._write_waiting()
            if closing:
                break
        if self._target not in _STREAMS:
            os.close(self._descriptor)

    def _reopen(self) -> None:
        self._reopening.clear()
        if self._target in _STREAMS:
            return
        try:
            fresh = self._open()
        except OSError as wrong:
            self._report(f"log {self._target}: cannot be opened again, the old file stays in use: {wrong}")
            return
        os.close(self._descriptor)
        self._descriptor, self._midline = fresh, False

    def _write_waiting(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not lines:
            return
        # A line that broke off must not swallow the one after it.
        text = b"".join([_NEWLINE, *lines] if self._midline else lines)
        written = 0
        wrong = None
        try:
            while written < len(text):
                written += self._write_some(memoryview(text)[written:])
        except OSError as failure:
            wrong = failure
            self._failed += min(len(lines), text.count(_NEWLINE, written))
        if written:
            self._midline = text[written - 1] != _NEWLINE[0]
        self._given += sum(map(len, lines))
        self._tell(wrong)

    def _write_some(self, rest: memoryview) -> int:
        try:
            return os.write(self._descriptor, _whole_lines(rest) if self._piecewise else rest)
        except BlockingIOError:  # somebody made the stream non-blocking
            select.select((), (self._descriptor,), (), 1.0)
            return 0

    def _tell(self, wrong: OSError | None) -> None:
        """Report once when lines begin to be lost, and once with their number when no more are."""
        lost = self.lost = self._dropped + self._failed
        if lost > self._told:
            if not self._losing:
                cause = f"cannot be written: {wrong}" if wrong else "is too slow"
                self._report(f"log {self._target}: {cause}; lines are lost and counted")
            self._losing, self._told = True, lost
        elif self._losing:
            self._losing = False
            self._report(f"log {self._target}: written again; {lost} lines were lost so far")


def _is_file(descriptor: int) -> bool:
    """Whether what is appended stays in one piece, however long it is."""
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _whole_lines(text: memoryview) -> memoryview:
    """As many lines as a pipe takes in one piece, at least one: several workers write to it."""
    piece = bytes(text[:_WHOLE])
    end = piece.rfind(_NEWLINE)
    if end < 0:
        end = bytes(text).find(_NEWLINE)
    return text[: end + 1] if end >= 0 else text
