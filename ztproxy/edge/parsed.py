"""What reading a request makes: the frozen types between octets and `Arrived`.

They are msgspec's, made in C, and stand apart from the code that fills them, which is compiled where that is wanted.
"""

import msgspec

from ztproxy.edge.forwarded import Peer
from ztproxy.model import Connection, Fields, Notes


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


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request target and its path, both read."""

    target: Target
    path: Path


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
    notes: Notes
    """Empty; for `Arrived.notes`."""
    own_cookies: Fields = ()
    """For `Arrived.own_cookies`."""
    proofs: tuple[bytes, ...] = ()
    """Every value of DPoP (RFC 9449 §4.1)."""
