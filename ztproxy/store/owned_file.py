"""Files of secrets that are believed only when they are ours alone, and written whole or not at all."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ztproxy.store.unusable import StoreError

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


def replace_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by nobody else, in the place of one that may be there.

    Raises:
        OSError: it cannot be made.
    """
    with _written_beside(path, content) as made:
        made.replace(path)


def create_private(path: Path, content: bytes) -> None:
    """Write a new file whole or not at all, readable by nobody else; where another process was first, its file stays.

    Raises:
        OSError: it cannot be made.
    """
    with _written_beside(path, content) as made, contextlib.suppress(FileExistsError):
        os.link(made, path)  # unlike a rename, never replaces


@contextlib.contextmanager
def _written_beside(path: Path, content: bytes) -> Iterator[Path]:
    """A file with this content in the same folder, until it has got its name or is not wanted."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def read_private(path: Path, most: int) -> bytes:
    """The content of a file that is ours and open to nobody else.

    Args:
        path: no symbolic link.
        most: octets.

    Raises:
        StoreError: it cannot be read, is longer, no file, another user's, or open to others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            check_private(path, found)
            content = file.read(most + 1)
    except OSError as wrong:
        raise StoreError(path, f"cannot be read ({wrong.strerror or wrong})") from None
    if len(content) > most:
        raise StoreError(path, f"has more than {most} octets")
    return content


def check_private(path: Path, found: os.stat_result) -> None:
    """Raise `StoreError` where a file is not ours alone."""
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(path, "is not a file")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise StoreError(path, "belongs to another user")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StoreError(path, "is open to others: chmod 600 it, and replace it if they matter")
