"""Rotating the keys of assertions: the next key is made, published by all nodes, and signs only then."""

import math
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ztproxy.config.assertions import Assertion
from ztproxy.upstream.files import UnusableFileError
from ztproxy.upstream.key_ring import MAXIMUM_KEYS, Kept, over, path_from, ring_of
from ztproxy.upstream.signing_key import create, load

AHEAD = 3
"""Times `key_cache`: one for upstreams to forget the key set that they have, the rest to have every node reload."""

SKEW = 30.0
"""Seconds by which the nodes' clocks may differ."""


class RotationError(ValueError):
    """No key was made; the message says why."""


class Rotated(NamedTuple):
    """The key that was made."""

    path: Path
    kid: str
    signs_from: float
    """Seconds since 1970."""
    reload_before: float
    """By then every node must have taken it up, or upstreams may not have it when it signs."""
    removed: tuple[Path, ...]
    """Keys that are over, or compromised."""


def rotate(assertion: Assertion, now: float, ahead: float | None = None) -> Rotated:
    """Make the next key, and remove those that are over.

    Args:
        assertion: the configuration; with `keys`.
        now: seconds since 1970.
        ahead: seconds until it signs; `AHEAD` times `key_cache` when None, and never less than `key_cache`.

    Raises:
        RotationError: there is no ring, the next key is there already, or `ahead` is too short.
        UnusableFileError: naming a file or directory that cannot be used.
    """
    directory = _ring(assertion)
    seconds = AHEAD * assertion.key_cache if ahead is None else ahead
    if seconds < assertion.key_cache:
        raise RotationError("a key that signs sooner than `assertion.key_cache` is not known to upstreams by then")
    kept = ring_of(directory)
    if waiting := next((one for one in kept if one.signs_from > now), None):
        raise RotationError(f"{waiting.path} waits for its time already")
    signs_from = float(math.ceil(now + seconds))
    made = Kept(signs_from, path_from(directory, signs_from))
    ended = tuple(one.path for one in over([*kept, made], now, assertion))
    if len(kept) - len(ended) >= MAXIMUM_KEYS:
        raise RotationError(f"{directory} holds {MAXIMUM_KEYS} keys that are still in use")
    return _make(made, ended, max(now, signs_from - assertion.key_cache - SKEW))


def replace(assertion: Assertion, now: float) -> Rotated:
    """Make a key that signs from now on, and remove all others: they are compromised.

    Assertions that they signed stop to verify wherever their keys are forgotten. Raises as `rotate` does.
    """
    directory = _ring(assertion)
    signs_from = float(math.floor(now))
    made = Kept(signs_from, path_from(directory, signs_from))
    others = tuple(one.path for one in ring_of(directory) if one.path != made.path)
    return _make(made, others, now)


def _ring(assertion: Assertion) -> Path:
    if assertion.keys is None:
        raise RotationError("a single `assertion.key` is not rotated: say `assertion.keys`, a directory")
    return assertion.keys


def _make(made: Kept, removed: tuple[Path, ...], reload_before: float) -> Rotated:
    """The file of the new key, then without those of the old ones: there is a key at any time."""
    if made.path.exists():
        raise RotationError(f"{made.path} is there already")
    try:
        create(made.path)
        for path in removed:
            with suppress(FileNotFoundError):  # another node was first
                path.unlink()
    except OSError as wrong:
        raise UnusableFileError(made.path, f"the assertion keys cannot be changed ({wrong.strerror})") from None
    return Rotated(made.path, load(made.path).kid, made.signs_from, reload_before, removed)
