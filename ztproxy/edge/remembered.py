"""Results of pure functions over octets that come again and again: hosts, paths, field names."""

from collections.abc import Callable
from typing import Generic, TypeVar

from ztproxy.model import Refusal

Value = TypeVar("Value")

_LONGEST = 256
"""Octets of a key that is worth remembering."""


class Remembered(dict[bytes, "Value | Refusal"], Generic[Value]):
    """A dict that computes what is missing, holds at most `maximum` results, and none that is a refusal.

    When it is full it starts anew: a flood of new keys costs the flood its own work and nobody else theirs for long.
    """

    __slots__ = ("_compute", "_maximum")

    def __init__(self, compute: Callable[[bytes], Value | Refusal], maximum: int = 2048) -> None:
        super().__init__()
        self._compute = compute
        self._maximum = maximum

    def __missing__(self, key: bytes) -> Value | Refusal:
        value = self._compute(key)
        if len(key) <= _LONGEST and not isinstance(value, Refusal):
            if len(self) >= self._maximum:
                self.clear()
            self[key] = value
        return value
