"""How many requests may be sent again at one time: retries must not be what brings the last servers down."""

from ztproxy.config.upstreams import Retries


class RetryBudget:
    """Of one upstream: a share of the requests in flight, and some whatever their number.

    Args:
        retries: the share and the minimum.
    """

    __slots__ = ("_minimum", "_share", "denied", "under_way")

    def __init__(self, retries: Retries) -> None:
        self._share = retries.share / 100
        self._minimum = retries.minimum
        self.under_way = 0
        self.denied = 0

    def take(self, in_flight: int) -> bool:
        """Whether one more may be sent again, out of so many requests in flight; `give_back` once it is over."""
        if self.under_way >= max(self._minimum, self._share * in_flight):
            self.denied += 1
            return False
        self.under_way += 1
        return True

    def give_back(self) -> None:
        """A request that had been sent again is over."""
        self.under_way -= 1
