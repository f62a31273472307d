"""Signed documents on disk: what a restart needs while those who publish them are away, shared by all workers.

Each is verified again when it is read. Whoever can write these files could still bring back an older one, so a file
that others may write, or that is not ours, is not read.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

MOST_FILES = 20_000
OLDEST = 30 * 86400.0
"""Seconds after which a file that nobody has renewed is removed."""
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UnusableFileError(Exception):
    """There is a file, and it must not be used."""


class SavedDocument(msgspec.Struct, frozen=True):
    """What was saved, and when it was last fetched, in seconds since 1970."""

    body: bytes
    fetched_at: float


class SavedDocuments:
    """A folder with a file for each; its name is made of all that it belongs to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, belongs_to: Iterable[bytes]) -> Path:
        """The file of the document that belongs to these."""
        made = hashlib.sha256()
        for one in belongs_to:
            made.update(len(one).to_bytes(8) + one)
        return self.folder / made.hexdigest()[:40]

    def save(self, path: Path, saved: SavedDocument) -> None:
        """Replace a file in one step, readable by us alone. Raises `OSError`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self.folder, prefix=path.name, suffix=".new")
        try:
            with os.fdopen(descriptor, "wb") as file:  # made with mode 0600
                file.write(saved.body)
                file.flush()
                os.fsync(file.fileno())
                os.utime(descriptor, (saved.fetched_at, saved.fetched_at))
            Path(temporary).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise

    def renew(self, path: Path, now: float) -> None:
        """It was fetched again and is the same; `now` in seconds since 1970. Raises `OSError`."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, (now, now))

    def load(self, path: Path, maximum: int) -> SavedDocument | None:
        """What was saved; None when there is nothing. Raises `UnusableFileError` or `OSError`."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
                raise UnusableFileError("it is not ours, or others may write it")
            body = file.read(maximum + 1)
        if len(body) > maximum:
            raise UnusableFileError("it is too large")
        return SavedDocument(body, status.st_mtime)

    def sweep(self, now: float) -> None:
        """Remove what nobody has renewed for long, and the oldest of too many; what cannot be removed stays."""
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            found = sorted(
                ((entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in entries), reverse=True
            )
            for place, (at, path) in enumerate(found):
                if at < now - OLDEST or place >= MOST_FILES:
                    with contextlib.suppress(OSError):
                        Path(path).unlink()
