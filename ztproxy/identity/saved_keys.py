"""The last good keys of an issuer on disk: what a restart while the issuer is away needs.

Whoever can write these files can make tokens, so a file that others may write, or that is not ours, is not read.
"""

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path

import msgspec

from ztproxy.identity.fetching import MAXIMUM_DOCUMENT
from ztproxy.identity.keys import KeySet, read_key_set
from ztproxy.identity.strict_json import MalformedError, read_object

_FORMAT = 1
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Saved(msgspec.Struct, frozen=True):
    """Keys and when they were fetched, in seconds since 1970."""

    keys: KeySet
    fetched_at: float


class SavedKeys:
    """One issuer's file. Its name and its content are bound to the issuer and the place its keys come from."""

    def __init__(self, folder: Path, issuer: str, jwks_uri: str | None) -> None:
        self._bound_to = {"format": _FORMAT, "issuer": issuer, "jwks_uri": jwks_uri or "discovery"}
        name = hashlib.sha256(json.dumps(self._bound_to, sort_keys=True).encode()).hexdigest()[:32]
        self.path = folder / f"{name}.json"

    def save(self, saved: Saved) -> None:
        """Replace the file in one step, readable by us alone. Raises `OSError`."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = self._bound_to | {"fetched_at": saved.fetched_at, "keys": [dict(key.jwk) for key in saved.keys.keys]}
        descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.stem, suffix=".new")
        try:
            with os.fdopen(descriptor, "wb") as file:  # made with mode 0600
                file.write(json.dumps(document).encode())
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise

    def load(self, now: float) -> Saved | None:
        """What was saved, however old; None when there is nothing, or it claims to be from the future.

        Raises `MalformedError` or `OSError` when there is a file that must not be used.
        """
        body = self._read()
        if body is None:
            return None
        document = read_object(body)
        if {name: document.get(name) for name in self._bound_to} != self._bound_to:
            raise MalformedError("it belongs to another issuer")
        fetched_at = document.get("fetched_at")
        if not isinstance(fetched_at, int | float) or isinstance(fetched_at, bool):
            raise MalformedError("it does not say when it was fetched")
        if fetched_at > now:
            return None
        return Saved(read_key_set(body), float(fetched_at))

    def _read(self) -> bytes | None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
                raise MalformedError("it is not ours, or others may write it")
            body = file.read(MAXIMUM_DOCUMENT + 1)
        if len(body) > MAXIMUM_DOCUMENT:
            raise MalformedError("it is too large")
        return body
