"""The keys of assertions over time: which one signs now, and which are published.

A key has the time from which it signs in its file's name, and nowhere else: `first.pem` from the beginning,
`from-20261126T181500Z.pem` from then. So every process that sees the directory comes to the same answer, by its clock
alone. A new key is published from the moment that it is read, and signs only later, when upstreams that keep the key
set for its `max-age` have it; an old one stays published until the last assertion that it signed is over.
"""

import json
import re
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ztproxy.config.assertions import Assertion
from ztproxy.upstream.files import UnusableFileError
from ztproxy.upstream.peer_keys import read_key_set
from ztproxy.upstream.signing_key import SigningKey, load, load_or_create

FIRST = "first.pem"
MAXIMUM_KEYS = 16
_BEGINNING = float("-inf")
_TIME = "%Y%m%dT%H%M%SZ"


class Kept(NamedTuple):
    """A file of the ring."""

    signs_from: float
    """Seconds since 1970."""
    path: Path


class KeyRing:
    """Keys that were read, the oldest first. Make one with `load_ring`."""

    def __init__(self, keys: Sequence[tuple[float, SigningKey]], jwks: bytes) -> None:
        self._keys = tuple(reversed(keys))
        self.jwks = jwks
        """What is published."""

    def signing(self, now: float) -> SigningKey:
        """The newest whose time has come; before all of them, the oldest."""
        for signs_from, key in self._keys:
            if signs_from <= now:
                return key
        return self._keys[-1][1]


def load_ring(assertion: Assertion, now: float) -> KeyRing:
    """The keys as configured; the first is made where there is none.

    Args:
        assertion: the configuration.
        now: seconds since 1970; what is over by then is not published.

    Raises:
        UnusableFileError: naming a file or directory that cannot be used.
    """
    if assertion.keys is None:
        keys = [(_BEGINNING, load_or_create(assertion.single))]
    else:
        if not _made(assertion.keys):
            load_or_create(assertion.keys / FIRST)
        kept = ring_of(assertion.keys)
        ended = {one.path for one in over(kept, now, assertion)}
        keys = [(one.signs_from, load(one.path)) for one in kept if one.path not in ended]
    published = {key.kid: key.public for _, key in keys}
    for path in assertion.published:
        published |= read_key_set(path)
    return KeyRing(keys, json.dumps({"keys": list(published.values())}).encode())


def ring_of(directory: Path) -> list[Kept]:
    """The files of a ring, the oldest first.

    Raises:
        UnusableFileError: the directory cannot be read, is open to others, or holds a key without a time.
    """
    try:
        if directory.stat().st_mode & stat.S_IWOTH:
            raise UnusableFileError(directory, "everybody may put a signing key here: chmod o-w it")
        names = sorted(path for path in directory.iterdir() if path.suffix == ".pem" and path.name[0] != ".")
    except OSError as wrong:
        raise UnusableFileError(directory, f"the assertion keys cannot be read ({wrong.strerror})") from None
    if len(names) > MAXIMUM_KEYS:
        raise UnusableFileError(directory, f"holds more than {MAXIMUM_KEYS} keys")
    return sorted(Kept(_signs_from(path), path) for path in names)


def over(kept: Sequence[Kept], now: float, assertion: Assertion) -> Iterator[Kept]:
    """Those whose last assertion is over, with as much again as upstreams keep keys, because clocks differ."""
    for one, following in pairwise(kept):
        if following.signs_from + assertion.lifetime + assertion.key_cache <= now:
            yield one


def path_from(directory: Path, signs_from: float) -> Path:
    """The file of a key that signs from then on, in whole seconds."""
    return directory / f"from-{datetime.fromtimestamp(signs_from, UTC).strftime(_TIME)}.pem"


def _made(directory: Path) -> bool:
    try:
        return any(path.suffix == ".pem" for path in directory.iterdir())
    except FileNotFoundError:
        return False
    except OSError as wrong:
        raise UnusableFileError(directory, f"the assertion keys cannot be read ({wrong.strerror})") from None


def _signs_from(path: Path) -> float:
    if path.name == FIRST:
        return _BEGINNING
    if found := re.fullmatch(r"from-([0-9]{8}T[0-9]{6}Z)\.pem", path.name):
        try:
            return datetime.strptime(found[1], _TIME).replace(tzinfo=UTC).timestamp()
        except ValueError:
            pass
    raise UnusableFileError(path, f"a key's file is named {FIRST} or from-YYYYMMDDTHHMMSSZ.pem: when it signs from")
