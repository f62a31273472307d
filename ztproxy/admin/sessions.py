"""What operators ask about sessions, and what they are told: `ztproxy sessions`."""

import msgspec


class Listing(msgspec.Struct, frozen=True, tag="list-sessions"):
    """Some of the sessions are wanted."""

    subject: str | None = None
    issuer: str | None = None
    cursor: str = ""
    """Empty at first, then the page's before."""


class Revoking(msgspec.Struct, frozen=True, tag="revoke-sessions"):
    """Sessions are to end: one by its name, those of a subject, or all; of one issuer, or of all."""

    name: str | None = None
    subject: str | None = None
    issuer: str | None = None
    all: bool = False


class Forgetting(msgspec.Struct, frozen=True, tag="forget-sessions"):
    """Others have ended sessions: what is remembered of them counts no more until the store was asked."""


class Line(msgspec.Struct, frozen=True):
    """One session; nothing that could be presented. Times are seconds since 1970."""

    name: str
    issuer: str
    subject: str
    display: str
    host: str
    route: str
    created_at: float
    used_at: float
    ends_at: float
    """When it is over at the latest."""
    idle_until: float
    """When it is over unless it is used."""


class Lines(msgspec.Struct, frozen=True):
    """Some of the sessions, or why there are none to see."""

    sessions: tuple[Line, ...] = ()
    cursor: str | None = None
    """Gets the next ones; None: there are no more."""
    problem: str = ""


class Revoked(msgspec.Struct, frozen=True):
    """How many sessions were ended, or why not all that were meant."""

    ended: int = 0
    problem: str = ""
