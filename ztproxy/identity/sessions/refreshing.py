"""The seam to the issuer's token endpoint: how a session gets new claims for its refresh token."""

from typing import Any, Protocol

import msgspec

from ztproxy.identity.sessions.session import Session


class Refreshed(msgspec.Struct, frozen=True):
    """What the issuer gave: verified, and about the same issuer, subject and client as before."""

    claims: dict[str, Any]
    audience: tuple[str, ...]
    id_token: str
    """The new one, or the one before where none came."""
    refresh_token: str | None
    """The new one, or the one before where none came."""
    refresh_at: float | None
    token_expires_at: float | None
    issued_at: float | None
    key_id: str | None
    display: str


class RefreshRefused(msgspec.Struct, frozen=True):
    """The issuer does not let it go on (RFC 6749 §5.2 `invalid_grant`), or said something else about who this is."""

    cause: str


class IssuerAway(msgspec.Struct, frozen=True):
    """The issuer did not answer, or not with anything that could be understood."""

    cause: str


class Refresh(Protocol):
    """Asks the issuer. Ends within `REFRESH_TIME` seconds, and never raises but when cancelled."""

    async def refresh(self, session: Session, now: float) -> Refreshed | RefreshRefused | IssuerAway: ...


REFRESH_TIME = 20.0
"""Seconds; how long one process keeps the others from refreshing the same session follows from it."""
