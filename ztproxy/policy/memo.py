"""Decisions that are remembered, each until its end. What a decision is kept under is for `ztproxy.policy.key`."""

from collections import OrderedDict

from ztproxy.model import Decision
from ztproxy.policy.key import Key

MAXIMUM_SIZE = 8192
"""Octets of a document and a result together; what is larger is decided anew each time."""


class Remembered:
    """What was decided, and for how long that holds."""

    __slots__ = ("decision", "ends_at")

    def __init__(self, decision: Decision, ends_at: float) -> None:
        self.decision = decision
        """As whoever asks again is told it, but for the document, which each request has of its own."""
        self.ends_at = ends_at
        """Seconds of the monotonic clock."""


class Memo:
    """A bounded table in two halves: what was asked for once, and what was asked for again.

    A new entry displaces one that nobody has asked for since it was made, so a flood of new questions costs those
    nothing who ask the same thing often. Both halves are first in, first out: a hit moves nothing.

    Args:
        entries: how many decisions are kept.
        maximum_age: seconds that one is kept at most.
    """

    def __init__(self, entries: int, maximum_age: float) -> None:
        self.hits = 0
        self.misses = 0
        self._maximum_age = maximum_age
        self._half = max(1, entries // 2)
        self._once: OrderedDict[Key, Remembered] = OrderedDict()
        self._again: OrderedDict[Key, Remembered] = OrderedDict()

    @property
    def entries(self) -> int:
        """Decisions that are kept now; some may be over."""
        return len(self._once) + len(self._again)

    def recall(self, key: Key, now: float) -> Decision | None:
        """What was decided, when that still holds; `now` in seconds of the monotonic clock."""
        found = self._again.get(key)
        if found is None:
            found = self._once.pop(key, None)
            if found is not None:
                if len(self._again) >= self._half:
                    self._again.popitem(last=False)
                self._again[key] = found
        if found is None or now >= found.ends_at:
            self.misses += 1
            return None
        self.hits += 1
        return found.decision

    def remember(self, key: Key, decision: Decision, now: float, remaining: float, size: int) -> None:
        """Keep a decision for as long as it may be kept.

        Args:
            key: what it was decided about.
            decision: what was decided; its `max_age` counts.
            now: seconds of the monotonic clock when it was asked for.
            remaining: seconds until the first of the credentials that it rests on ends.
            size: octets that key and decision have together, at most.
        """
        age = min(self._maximum_age, remaining)
        if decision.max_age is not None and decision.max_age < age:
            age = decision.max_age
        if age <= 0 or size > MAXIMUM_SIZE:
            return
        known = self._once
        if key in self._again:
            known = self._again
            del known[key]
        elif len(known) >= self._half:
            known.popitem(last=False)
        known[key] = Remembered(decision, now + age)
