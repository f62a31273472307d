"""Files that nobody else can read: how one is made, and secrets that are made once and kept."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from ztproxy.store.owned_file import read_private
from ztproxy.store.unusable import StoreError

_OCTETS = 32
"""Of a secret."""


def create_private(path: Path, content: bytes) -> None:
    """Write a new file whole or not at all, readable by nobody else; where another process was first, its file stays.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(name, path)  # unlike a rename, never replaces
    finally:
        Path(name).unlink()


def kept_secret(path: Path) -> bytes:
    """The secret in a file, made if it is not there; all processes and restarts of one host have the same.

    Raises:
        StoreError: it cannot be made or read, or holds something else.
    """
    try:
        if not path.exists():
            create_private(path, secrets.token_bytes(_OCTETS))
    except OSError as wrong:
        raise StoreError(path, f"the secret cannot be made ({wrong.strerror})") from None
    secret = read_private(path, _OCTETS + 1)
    if len(secret) != _OCTETS:
        raise StoreError(path, "holds no secret; remove it, and another is made")
    return secret
