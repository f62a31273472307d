"""The revocation lists of each listener, read at start and again when their files change.

A file that became unreadable, or is signed by nobody who may, leaves the last good lists in use until they are stale.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509

from ztproxy.config.settings import Listener, Settings
from ztproxy.identity.authorities import read_authorities
from ztproxy.identity.crl import RevocationList, read_lists
from ztproxy.identity.errors import IdentityConfigError
from ztproxy.identity.revocation import Revocation

LOOK_EVERY = 30.0
"""Seconds between two looks at the files."""
_log = logging.getLogger("ztproxy.identity")


class ListFiles:
    """The revocation list files of one listener and the lists last read from them."""

    def __init__(self, paths: Sequence[Path], authorities: Sequence[x509.Certificate], key: str) -> None:
        self._paths = paths
        self._authorities = authorities
        self._key = key
        self._seen: object = None

    def read(self) -> tuple[RevocationList, ...]:
        """All lists. Raises `IdentityConfigError`."""
        self._seen = self._state()
        return tuple(one for path in self._paths for one in read_lists(path, self._authorities, self._key))

    def read_if_changed(self) -> tuple[RevocationList, ...] | None:
        """All lists, None when no file has changed since they were last read. Raises `IdentityConfigError`."""
        return None if self._state() == self._seen else self.read()

    def _state(self) -> object:
        try:
            found = [path.stat() for path in self._paths]
        except OSError:
            return None
        return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in found]


class ListenerRevocation:
    """What a listener knows about revoked certificates."""

    def __init__(self, files: ListFiles, *, allow_unknown: bool) -> None:
        self.revocation = Revocation(files.read(), allow_unknown=allow_unknown)
        self._files = files

    async def keep_current(self) -> None:
        """Read the files again whenever they change, off the event loop, for as long as this is not cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._take(await asyncio.to_thread(self._read))

    def look(self) -> None:
        """Take up what changed; keep the last good lists, and say so, when it cannot be used."""
        self._take(self._read())

    def _read(self) -> tuple[RevocationList, ...] | None:
        try:
            return self._files.read_if_changed()
        except IdentityConfigError as wrong:
            _log.warning("revocation lists as last read stay in use: %s", wrong)
            return None

    def _take(self, lists: tuple[RevocationList, ...] | None) -> None:
        """On the event loop, so that no request is judged by the old lists and remembered under the new ones."""
        if lists is not None:
            self.revocation.replace(lists)
            _log.info("revocation lists were read again")


def revocation_of(settings: Settings) -> Mapping[str, ListenerRevocation]:
    """The listeners that have revocation lists, by their address. Raises `IdentityConfigError`."""
    return {
        str(listener.address): _revocation(listener)
        for listener in settings.listeners
        if listener.client_certificates.crl
    }


def _revocation(listener: Listener) -> ListenerRevocation:
    asked = listener.client_certificates
    key = f"listeners[{listener.address}].client_certificates"
    authorities = [one for path in asked.authorities for one in read_authorities(path, f"{key}.authorities")]
    files = ListFiles(asked.crl, authorities, f"{key}.crl")
    return ListenerRevocation(files, allow_unknown=asked.on_unknown == "allow")
