"""The arithmetic of a token bucket, in whole numbers.

The generic cell rate algorithm (ITU-T I.371, annex A) in its leaky-bucket form: a level that every request raises by
`interval` and every microsecond lowers by `pace`. Full of tokens is level 0; a request fits when the level afterwards
is at most `capacity`. Whole numbers below 2^53 throughout: Redis counts in doubles and must come to the same result.
"""

from math import gcd

import msgspec

SECOND = 1_000_000
"""Microseconds."""
EXACT = 1 << 52
"""Levels stay below it, so that a level and one more charge are exact in a double."""


class Quota(msgspec.Struct, frozen=True, gc=False):
    """How fast a bucket fills and how much it holds, and the numbers that it is reckoned with."""

    limit: int
    """Requests in `period` seconds, on average."""
    period: int
    burst: int
    """Requests that may come at once."""
    pace: int
    """What the level falls by in a microsecond."""
    interval: int
    """What one request raises the level by."""
    capacity: int
    """The highest level."""

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
    return Quota(limit, round(period), burst, pace, interval, burst * interval)
