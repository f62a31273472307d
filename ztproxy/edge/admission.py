"""How many connections a listener lets in: in all, from one source, and with a handshake under way.

What is too much is refused by closing the newest. Accepting no more instead would leave it in the kernel's queue, where
a flood stands before everybody else and nobody is told; a balancer sees a closed connection and goes elsewhere.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address

from ztproxy.config.edge import Connections
from ztproxy.edge.forwarded import Networks, normalised, trusts

MAXIMUM, PER_SOURCE, HANDSHAKES = "connections.maximum", "connections.per_source", "connections.handshakes"
USERS = "users"
TOLD_EVERY = 1.0
"""Seconds between two lines in the log about one bound."""
_IPV6_BITS = 128
_logger = logging.getLogger("ztproxy.edge")

Source = tuple[int, int]
"""The IP version, and the address or its prefix."""


class Seat:
    """One connection's place, from its being accepted to its end."""

    __slots__ = ("_admission", "_greeting", "_source")

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self._greeting = True
        self._source: Source | None = None

    def claim(self, address: str) -> bool:
        """Count it for its source as well; False when that has all it may have. Once, when its address is known."""
        admission = self._admission
        source = admission.source_of(address)
        if source is None:
            return True
        if admission.sources[source] >= admission.limits.per_source:
            return admission.refuse(PER_SOURCE)
        admission.sources[source] += 1
        self._source = source
        return True

    def greeted(self) -> None:
        """The handshake is over, or there is none."""
        if self._greeting:
            self._greeting = False
            self._admission.handshakes -= 1

    def leave(self) -> None:
        """The connection is gone."""
        admission = self._admission
        self.greeted()
        admission.open -= 1
        source, self._source = self._source, None
        if source is not None:
            admission.sources[source] -= 1
            if not admission.sources[source]:
                del admission.sources[source]


class Admission:
    """The bounds of one listener, and how much of them is taken.

    Args:
        limits: as configured.
        trusted: networks whose addresses speak for many clients, and are not counted as sources.
        clock: monotonic, seconds.
    """

    def __init__(
        self, limits: Connections, trusted: Networks = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self.open = 0
        """Connections, handshakes included."""
        self.handshakes = 0
        """TLS handshakes and PROXY headers under way."""
        self.sources: Counter[Source] = Counter()
        self.refused: Counter[str] = Counter()
        """Connections closed at once, by the bound they ran into."""
        self._trusted = trusted
        self._clock = clock
        self._quiet_until: dict[str, float] = {}

    def renew(self, limits: Connections, trusted: Networks) -> None:
        """Go on by other bounds; a connection that is open gives back the place that it took."""
        self.limits, self._trusted = limits, trusted

    def enter(self) -> Seat | None:
        """A place for a connection that was accepted; None when there is none."""
        if self.open >= self.limits.maximum:
            self.refuse(MAXIMUM)
            return None
        if self.handshakes >= self.limits.handshakes:
            self.refuse(HANDSHAKES)
            return None
        self.open += 1
        self.handshakes += 1
        return Seat(self)

    def refuse(self, bound: str) -> bool:
        """Count and, now and then, tell; False."""
        self.refused[bound] += 1
        now = self._clock()
        if now >= self._quiet_until.get(bound, 0.0):
            self._quiet_until[bound] = now + TOLD_EVERY
            if bound == USERS:
                _logger.warning("connections refused: of users not in `users` (%d refused so far)", self.refused[bound])
            else:
                _logger.warning("connections refused: `%s` is reached (%d refused so far)", bound, self.refused[bound])
        return False

    def source_of(self, address: str) -> Source | None:
        """What an address counts as; None for a Unix socket and for trusted proxies."""
        found = normalised(address)
        if found is None or (self._trusted and trusts(self._trusted, found)):
            return None
        if isinstance(found, IPv6Address):
            return 6, int(found) >> (_IPV6_BITS - self.limits.ipv6_prefix)
        return 4, int(found)
