"""Files of revocation lists, read at start and again when they change.

A file that became unreadable, or is signed by nobody who may, leaves the last good lists in use until they are stale.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from ztproxy.identity.errors import IdentityConfigError
from ztproxy.identity.revocation.crl import RevocationList, read_lists

_log = logging.getLogger("ztproxy.identity")


class ListFiles:
    """The revocation list files of one authority, and whether they have changed since they were read."""

    def __init__(self, paths: Sequence[Path], authorities: Sequence[x509.Certificate], key: str) -> None:
        self._paths = paths
        self._authorities = authorities
        self._key = key
        self._seen: object = None

    def read(self) -> tuple[RevocationList, ...]:
        """All lists. Raises `IdentityConfigError`."""
        self._seen = self._state()
        return tuple(one for path in self._paths for one in read_lists(path, self._authorities, self._key))

    def read_if_good(self) -> tuple[RevocationList, ...] | None:
        """All lists; None when no file has changed since they were last read, or one cannot be used, which is told."""
        if self._state() == self._seen:
            return None
        try:
            return self.read()
        except IdentityConfigError as wrong:
            _log.warning("revocation lists as last read stay in use: %s", wrong)
            return None

    def _state(self) -> object:
        try:
            found = [path.stat() for path in self._paths]
        except OSError:
            return None
        return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in found]
