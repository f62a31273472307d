"""What clients' requests tell about a server: when it is left out, and for how long (a circuit breaker).

Closed: failures in a row are counted. Open: left out, twice as long each time. Half open: back, and one failure is
enough to leave it out again, until one request succeeds. No clock, no I/O.
"""

from ztproxy.config.upstreams import Outliers

GATEWAY_ERRORS = frozenset({502, 503, 504})
_NEVER = float("-inf")
_MOST_DOUBLINGS = 30


class Record:
    """One server's record.

    Args:
        outliers: how many failures are too many, and for how long a server is left out.
    """

    __slots__ = ("_ejections", "_failures", "_gateway_errors", "_outliers", "_proven", "ejected_until", "spotless")

    def __init__(self, outliers: Outliers) -> None:
        self._outliers = outliers
        self._failures = self._gateway_errors = self._ejections = 0
        self._proven = True
        self.ejected_until = _NEVER
        self.spotless = True
        """Nothing stands against it, so a good answer changes nothing."""

    def answered(self, status: int, now: float) -> bool:
        """A response's head has come; whether the server must be left out for it."""
        self._failures = 0
        limit = self._outliers.gateway_errors
        if limit is None or status not in GATEWAY_ERRORS:
            self._gateway_errors = 0
            self._prove(now)
            return False
        self.spotless = False
        self._gateway_errors += 1
        return now >= self.ejected_until and (self._gateway_errors >= limit or not self._proven)

    def failed(self, now: float) -> bool:
        """It did not answer a request, or not to the end; whether it must be left out for it.

        What was under way when it was left out tells nothing new.
        """
        self.spotless = False
        self._failures += 1
        return now >= self.ejected_until and (self._failures >= self._outliers.failures or not self._proven)

    def eject(self, now: float) -> float:
        """Leave it out; says until when."""
        outliers = self._outliers
        length = min(outliers.eject * 2**self._ejections, outliers.eject_at_most)
        self._ejections = min(self._ejections + 1, _MOST_DOUBLINGS)
        self._failures = self._gateway_errors = 0
        self._proven = False
        self.ejected_until = now + length
        return self.ejected_until

    def _prove(self, now: float) -> None:
        """It answers. What it was left out for is forgotten once it has been back for as long as a first time out."""
        if now >= self.ejected_until:
            self._proven = True
            if now >= self.ejected_until + self._outliers.eject:
                self._ejections = 0
                self.spotless = True


def may_eject(ejected: int, servers: int, outliers: Outliers) -> bool:
    """Whether one more of the servers may be left out beside those that are already."""
    return (ejected + 1) * 100 <= outliers.maximum_ejected * servers
