"""What the sticky cookie's hash is keyed with: configured, or made once and kept in the state directory."""

import secrets as strong
from pathlib import Path

from ztproxy.config import secrets
from ztproxy.config.upstreams import Sticky
from ztproxy.store.private_file import create_private
from ztproxy.upstream.files import UnusableFileError

_FILE = "sticky.key"
_OCTETS = 32
_LEAST = 16


def sticky_secret(sticky: Sticky, state: Path) -> bytes:
    """The key; all workers and restarts on one host share it.

    Raises:
        UnusableFileError: naming the file: it cannot be made or read, or holds too little.
    """
    if sticky.secret is not None:
        secret = secrets.read(sticky.secret).encode()
        if len(secret) < _LEAST:
            where = sticky.secret.file or Path(str(sticky.secret.env))
            raise UnusableFileError(where, f"the sticky cookie's secret has {_LEAST} octets or more")
        return secret
    path = state / _FILE
    try:
        if not path.exists():
            create_private(path, strong.token_bytes(_OCTETS))
        secret = path.read_bytes()
    except OSError as wrong:
        raise UnusableFileError(path, f"the sticky cookie's key cannot be made or read ({wrong.strerror})") from None
    if len(secret) != _OCTETS:
        raise UnusableFileError(path, "holds no key of a sticky cookie; remove it, and another is made")
    return secret
