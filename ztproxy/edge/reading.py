"""What reading a request needs to know of its listener."""

from collections.abc import Iterable

import msgspec

from ztproxy.config.routes import Route
from ztproxy.config.settings import Listener
from ztproxy.config.streams import WEBSOCKET
from ztproxy.edge.authority import Authority, read_authority
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.forwarded import Networks
from ztproxy.edge.parsed import Asked
from ztproxy.edge.remembered import Remembered
from ztproxy.edge.target import read_asked


class Reading(msgspec.Struct, frozen=True):
    """What reading a request needs to know of its listener; the memories hold results of pure functions."""

    cleaning: Cleaning
    trusted_proxies: Networks
    authorities: Remembered[Authority]
    targets: Remembered[Asked]
    upgrades: frozenset[str]
    """Protocols that some route lets requests switch to."""

    @classmethod
    def build(cls, listener: Listener, cleaning: Cleaning, routes: Iterable[Route]) -> "Reading":
        """For one listener, in front of all routes."""
        upgrades = frozenset(protocol for route in routes for protocol in route.upgrades)
        return cls.of(cleaning, listener.trusted_proxies, upgrades)

    @classmethod
    def of(
        cls, cleaning: Cleaning, trusted_proxies: Networks = (), upgrades: frozenset[str] = frozenset({WEBSOCKET})
    ) -> "Reading":
        """With memories of its own."""
        return cls(cleaning, trusted_proxies, Remembered(read_authority), Remembered(read_asked), upgrades)
