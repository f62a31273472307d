"""Which proofs were used already (RFC 9449 §11.1), by the one process that remembers them.

A store answers three ways and fails loudly: whoever cannot tell whether a proof was used must not let it in.
"""

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Protocol


class Use(Enum):
    """What is known of a proof."""

    FIRST = "first"
    REPEATED = "repeated"
    UNKNOWN = "unknown"
    """It was made before the store began to remember: it may have been used."""


class StoreAwayError(Exception):
    """Whether a proof was used cannot be told now: the store is away or full; the message says which and why."""


class Replays(Protocol):
    """A store of used proofs. A proof is named by what nobody else can name: its key and its id, hashed."""

    async def use(self, name: bytes, made_at: float, monotonic: float) -> Use:
        """Note a proof as used, for as long as it could be used again; raises `StoreAwayError`.

        Args:
            name: 32 octets.
            made_at: when the proof was made, in seconds since 1970.
            monotonic: seconds of the monotonic clock.
        """

    @property
    def up(self) -> bool | None:
        """Whether it answers; None where it is this process's memory."""

    @property
    def kept(self) -> int | None:
        """Proofs that it remembers; None where that is not known."""

    async def close(self) -> None:
        """Give back what it holds."""


class MemoryReplays:
    """Remembers in this process. What was used before it began it cannot know, and says so.

    Args:
        maximum: proofs that are remembered; when none has come to its end, no further one is taken.
        lasting: seconds that a proof could be used again.
        wall: seconds since 1970.
    """

    up = None

    def __init__(self, maximum: int, lasting: float, wall: Callable[[], float]) -> None:
        self.since = wall()
        self._maximum = maximum
        self._lasting = lasting
        self._until: OrderedDict[bytes, float] = OrderedDict()
        """In the order in which they end, since all last equally long."""

    async def use(self, name: bytes, made_at: float, monotonic: float) -> Use:
        """See `Replays`."""
        until = self._until
        while until and next(iter(until.values())) <= monotonic:
            until.popitem(last=False)
        if made_at < self.since:
            return Use.UNKNOWN
        if name in until:
            return Use.REPEATED
        if len(until) >= self._maximum:
            raise StoreAwayError("dpop.maximum_proofs reached")
        until[name] = monotonic + self._lasting
        return Use.FIRST

    @property
    def kept(self) -> int:
        """Proofs that it remembers."""
        return len(self._until)

    def take_over(self, previous: "MemoryReplays") -> None:
        """Go on with what another one remembers; how long it did is for whoever calls to know."""
        self.since = previous.since
        self._until = previous._until  # noqa: SLF001 - one of its own kind

    async def close(self) -> None:
        """Nothing to give back."""
