"""The last good document of an issuer on disk: what a restart while the issuer is away needs.

Whoever can write these files can make tokens, so a file that others may write, or that is not ours, is not read.
"""

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from ztproxy.identity.issuers.fetching import MAXIMUM_DOCUMENT
from ztproxy.identity.strict_json import MalformedError, read_object

_FORMAT = 1
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH

Content = TypeVar("Content")


class Saved(msgspec.Struct, Generic[Content], frozen=True):
    """A document's content and when it was fetched, in seconds since 1970."""

    content: Content
    fetched_at: float


class SavedDocument(Generic[Content]):
    """One issuer's file. Its name and its content are bound to the issuer and the place that it comes from.

    Args:
        folder: where it is.
        bound_to: whose it is and where it came from.
        write: the content as members of the file.
        read: the content from the file's octets; raises `MalformedError`.
    """

    def __init__(
        self,
        folder: Path,
        bound_to: Mapping[str, Any],
        write: Callable[[Content], Mapping[str, Any]],
        read: Callable[[bytes], Content],
    ) -> None:
        self._bound_to = {"format": _FORMAT} | dict(bound_to)
        self._write_content, self._read_content = write, read
        name = hashlib.sha256(json.dumps(self._bound_to, sort_keys=True).encode()).hexdigest()[:32]
        self.path = folder / f"{name}.json"

    def save(self, saved: Saved[Content]) -> None:
        """Replace the file in one step, readable by us alone. Raises `OSError`."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = {**self._write_content(saved.content), **self._bound_to, "fetched_at": saved.fetched_at}
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

    def load(self, now: float) -> Saved[Content] | None:
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
        return Saved(self._read_content(body), float(fetched_at))

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
