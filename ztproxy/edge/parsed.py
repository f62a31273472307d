"""What reading a request makes, and what it needs to know: the frozen types between octets and `Arrived`.

They are msgspec's, made in C, and stand apart from the code that fills them, which is compiled where that is wanted.
"""

from collections.abc import Iterable

import msgspec

from ztproxy.config.routes import Route
from ztproxy.config.settings import Listener
from ztproxy.config.streams import WEBSOCKET
from ztproxy.edge.authority import Authority, read_authority
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.forwarded import Networks, Peer
from ztproxy.edge.remembered import Remembered
from ztproxy.model import Connection, Fields


class Line(msgspec.Struct, frozen=True, gc=False):
    """A request line."""

    method: bytes
    target: bytes
    version: str


class Moment(msgspec.Struct, frozen=True, gc=False):
    """When a request arrived and what we call it."""

    request_id: str
    wall: float
    monotonic: float


class Origin(msgspec.Struct, frozen=True):
    """Where a request came from: fixed for a connection."""

    connection: Connection
    peer: Peer


class Path(msgspec.Struct, frozen=True, gc=False):
    """A path in its one spelling, and its segments decoded."""

    text: str
    segments: tuple[str, ...]


class Target(msgspec.Struct, frozen=True, gc=False):
    """A request target split; `scheme` and `authority` only in absolute-form."""

    path: bytes
    query: str | None
    """None when there is no question mark."""
    scheme: str | None = None
    authority: bytes | None = None


class FieldSection(msgspec.Struct, frozen=True):
    """What the fields say. `fields` are clean in the sense of `Arrived`."""

    fields: Fields
    host: bytes
    content_length: int | None
    close: bool
    """The client wants the connection closed after this exchange."""
    expects: bool
    """The client waits for 100 Continue."""
    upgrade: str | None
    authorization: tuple[bytes, ...]
    forwarded_for: tuple[bytes, ...]
    forwarded_proto: tuple[bytes, ...]


class Reading(msgspec.Struct, frozen=True):
    """What reading a request needs to know of its listener; the memories hold results of pure functions."""

    cleaning: Cleaning
    trusted_proxies: Networks
    authorities: Remembered[Authority]
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
        return cls(cleaning, trusted_proxies, Remembered(read_authority), upgrades)
