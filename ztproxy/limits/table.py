"""Token buckets in the process: bounded, and none is forgotten before it is full again."""

from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace

from ztproxy.limits.bucket import Quota
from ztproxy.limits.token_bucket import BucketState, Charge, settle

_SWEEP = 4
"""Buckets looked at for each new one while there is room."""
_SWEEP_WHEN_FULL = 1024
"""The same when there is none: about a millisecond at most."""


class Table:
    """Buckets by key, at most `maximum` of them.

    A bucket that is full again is worth nothing and makes room; any other one stays, or whoever had used it up could
    have it forgotten by filling the table. When no room can be made, new keys are refused.
    """

    __slots__ = ("_arrivals", "_ends", "_maximum")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._arrivals: dict[str, tuple[int, int]] = {}
        """Key → (theoretical arrival time times pace, pace): the moment at which the bucket is full again, scaled."""
        self._ends: list[tuple[int, str]] = []
        """Heap with one entry a bucket: microseconds at which it is full again, or an earlier moment."""

    def __len__(self) -> int:
        return len(self._arrivals)

    def resize(self, like: "Table") -> None:
        """Hold as many buckets as another table may from now on; no bucket is forgotten for it."""
        self._maximum = like._maximum  # noqa: SLF001 - one of its own kind

    def clear(self) -> None:
        """Forget everything."""
        self._arrivals.clear()
        self._ends.clear()

    def take(self, charges: Sequence[Charge], now: int) -> list[BucketState]:
        """Charge all the buckets or, if an enforced one has not enough tokens, none; see `acquire_tokens`."""
        levels: list[int | None] = []
        arrivals = self._arrivals
        vacancies = -1
        for charge in charges:
            if (arrival := arrivals.get(charge.key)) is not None:
                levels.append(max(0, arrival[0] - now * charge.quota.pace))
                continue
            if vacancies < 0:
                vacancies = self._make_room(now)
            if vacancies == 0:
                levels.append(None)
            else:
                levels.append(0)
                vacancies -= 1
        states, allowed = settle(charges, levels)
        if allowed:
            for charge, state in zip(charges, states, strict=True):
                if state.admitted:
                    self._raise(charge, state.level, now)
        return states

    def take_one(self, key: str, quota: Quota, now: int) -> BucketState:
        """As `take` with one charge of one request: what nearly every request needs."""
        pace = quota.pace
        moment = now * pace
        arrival = self._arrivals.get(key)
        if arrival is None:
            return self.take((Charge(key, quota),), now)[0]
        level = arrival[0] - moment
        after = quota.interval if level < 0 else level + quota.interval
        if after > quota.capacity:
            return BucketState(False, level)  # noqa: FBT003 - by position is half the time
        self._arrivals[key] = (moment + after, pace)
        return BucketState(True, after)  # noqa: FBT003 - likewise

    def _raise(self, charge: Charge, level: int, now: int) -> None:
        pace = charge.quota.pace
        arrival = now * pace + level
        if charge.key not in self._arrivals:
            heappush(self._ends, (-(-arrival // pace), charge.key))
        self._arrivals[charge.key] = (arrival, pace)

    def _make_room(self, now: int) -> int:
        """Forget some buckets that are full again; return how many new ones fit.

        A bucket's entry in the heap is never later than the moment it is full again, so those that are come first;
        one that was charged since is put back at its new moment. Each charge causes at most one such putting back.
        """
        arrivals, ends = self._arrivals, self._ends
        room = self._maximum - len(arrivals)
        if room > len(arrivals):
            return room  # nothing presses: a bucket that is soon used again is not made anew each time
        short = room <= _SWEEP
        for _ in range(_SWEEP_WHEN_FULL if short else _SWEEP):
            if not ends or ends[0][0] > now or (short and room > _SWEEP):
                break
            key = ends[0][1]
            arrival, pace = arrivals[key]
            end = -(-arrival // pace)
            if end > now:
                heapreplace(ends, (end, key))
            else:
                heappop(ends)
                del arrivals[key]
                room += 1
        return max(room, 0)
