"""The arithmetic of a token bucket, in whole numbers.

The generic cell rate algorithm (ITU-T I.371, annex A) in its leaky-bucket form: a level that every request raises by
`interval` and every microsecond lowers by `pace`. Full of tokens is level 0; a request fits when the level afterwards
is at most `capacity`. Whole numbers below 2^53 throughout: Redis counts in doubles and must come to the same result.
"""

from math import gcd

SECOND = 1_000_000
"""Microseconds."""
EXACT = 1 << 52
"""Levels stay below it, so that a level and one more charge are exact in a double."""


class Quota:
    """How fast a bucket fills and how much it holds, and the numbers that it is reckoned with.

    Args:
        limit: requests in `period` seconds, on average.
        period: seconds.
        burst: requests that may come at once.
        pace: what the level falls by in a microsecond.
        interval: what one request raises the level by.
        capacity: the highest level.
    """

    __slots__ = ("burst", "capacity", "interval", "limit", "pace", "period")

    def __init__(self, *, limit: int, period: int, burst: int, pace: int, interval: int, capacity: int) -> None:
        self.limit = limit
        self.period = period
        self.burst = burst
        self.pace = pace
        self.interval = interval
        self.capacity = capacity

    def remaining(self, level: int) -> int:
        """How many requests still fit."""
        return (self.capacity - level) // self.interval

    def wait(self, level: int, cost: int = 1) -> int:
        """Microseconds until `cost` requests fit, rounded up."""
        return max(0, -((self.capacity - level - cost * self.interval) // self.pace))

    def until_full(self, level: int) -> float:
        """Seconds until the bucket is full of tokens again."""
        return level / self.pace / SECOND


def quota(limit: int, period: float, burst: int) -> Quota:
    """The numbers for `limit` requests in `period` seconds with `burst` at once.

    Exact where they fit; else rounded so that never more is admitted than was said.

    Raises:
        ValueError: an empty bucket would take more than a century to fill.
    """
    whole = round(period * SECOND)
    common = gcd(limit, whole)
    pace, interval = limit // common, whole // common
    if burst * interval >= EXACT:
        pace = (EXACT - burst) * limit // (burst * whole)
        if pace < 1:
            raise ValueError(f"a burst of {burst} at {limit} in {period:g} s takes more than a century to fill again")
        interval = -(-pace * whole // limit)
    return Quota(
        limit=limit, period=round(period), burst=burst, pace=pace, interval=interval, capacity=burst * interval
    )
