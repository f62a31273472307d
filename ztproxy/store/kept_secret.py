"""Secrets that are made once and kept, each in a file that nobody else can read."""

import secrets
from pathlib import Path

from ztproxy.store.owned_file import create_private, read_private
from ztproxy.store.unusable import StoreError

_OCTETS = 32
"""Of a secret."""


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
