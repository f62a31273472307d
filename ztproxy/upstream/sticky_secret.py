"""What the sticky cookie's hash is keyed with: configured, or made once and kept in the state directory."""

from pathlib import Path

from ztproxy.config import secrets
from ztproxy.config.upstreams import Sticky
from ztproxy.store.kept_secret import kept_secret
from ztproxy.store.unusable import StoreError
from ztproxy.upstream.files import UnusableFileError

_FILE = "sticky.key"
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
    try:
        return kept_secret(state / _FILE)
    except StoreError as wrong:
        raise UnusableFileError(wrong.path, wrong.why) from None
