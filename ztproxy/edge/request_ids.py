"""Request ids: 128 random bits in lower-case hex, always ours, never a client's."""

from collections.abc import Callable, Iterator
from os import urandom

_BATCH = 256
_OCTETS = 16


class RequestIds:
    """Makes ids from randomness fetched in batches. One per process: make it after forking."""

    __slots__ = ("_left", "_random")

    def __init__(self, random: Callable[[int], bytes] = urandom) -> None:
        self._random = random
        self._left: Iterator[str] = iter(())

    def __call__(self) -> str:
        for request_id in self._left:
            return request_id
        octets = self._random(_BATCH * _OCTETS).hex()
        width = 2 * _OCTETS
        self._left = iter([octets[at : at + width] for at in range(0, len(octets), width)])
        return next(self._left)
