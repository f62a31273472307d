"""One process at a time in a table's file. The kernel gives a lock back when its holder dies, however it dies."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ztproxy.store.unusable import StoreError

if sys.platform == "win32":  # where `ztproxy.store.file` refuses before anything is locked
    LOCK_EX = LOCK_NB = LOCK_UN = 0

    def flock(_descriptor: int, _operation: int) -> None:
        """Stand in for what this system does not have."""
        raise OSError("no file locks")
else:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

_NOW = LOCK_EX | LOCK_NB
_YIELDS = 50
"""Turns given to the holder before sleeping: it holds the lock for some microseconds, if it runs."""
_SLEEP = 0.000_2


def lock(descriptor: int, path: Path, patience: float) -> None:
    """Take the lock; wait no longer than `patience` seconds: a holder that was stopped must not stop us too.

    Raises:
        StoreError: it was not free in time.
    """
    try:
        flock(descriptor, _NOW)
    except BlockingIOError:
        _wait(descriptor, path, patience)


def unlock(descriptor: int) -> None:
    """Give the lock back."""
    flock(descriptor, LOCK_UN)


@contextlib.contextmanager
def locked(descriptor: int, path: Path, patience: float) -> Iterator[None]:
    """Hold the lock."""
    lock(descriptor, path, patience)
    try:
        yield
    finally:
        unlock(descriptor)


def _wait(descriptor: int, path: Path, patience: float) -> None:
    until = time.monotonic() + patience
    attempt = 0
    while time.monotonic() < until:
        attempt += 1
        if attempt <= _YIELDS:
            os.sched_yield() if hasattr(os, "sched_yield") else time.sleep(0)
        else:
            time.sleep(_SLEEP)
        try:
            flock(descriptor, _NOW)
        except BlockingIOError:
            continue
        return
    raise StoreError(path, f"another process held it for more than {patience:g} s")
