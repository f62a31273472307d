"""What a session is: who logged in, where, by what, and until when it counts. All of it is sealed in its record."""

import hashlib
from base64 import b32encode
from typing import Any

import msgspec

from ztproxy.identity.tokens.groups import NOWHERE, GroupMapping
from ztproxy.model import Token

KIND = b"s"
"""What the keys of sessions' records begin with."""
MAXIMUM_SESSION = 64 * 1024
"""Octets of a session as it is kept: claims and tokens together."""


class Session(msgspec.Struct, frozen=True):
    """One browser's login at one host. Times are seconds since 1970."""

    issuer: str
    client_id: str
    """What the issuer knew ztproxy as."""
    subject: str
    claims: dict[str, Any]
    audience: tuple[str, ...]
    host: str
    """Where it counts; exactly, in lower case, without port."""
    route: str
    """Where it began; it counts on all routes of its host that name the same login."""
    created_at: float
    used_at: float
    """When it was last known to be used; written back now and then."""
    ends_at: float
    """However much it is used."""
    id_token: str
    """As received: the hint for a logout at the issuer."""
    op_session: str | None = None
    """The issuer's `sid` (OpenID Connect Back-Channel Logout 1.0 §2.1)."""
    certificate: str | None = None
    """Fingerprint of the client certificate that it is bound to; None: to none."""
    refresh_token: str | None = None
    refresh_at: float | None = None
    """From when its claims are to be refreshed, in the background; with a refresh token alone."""
    token_expires_at: float | None = None
    """From when its claims have to be refreshed before they count again; with a refresh token alone."""
    issued_at: float | None = None
    key_id: str | None = None
    """Of the key that the ID token was verified by."""
    display: str = ""
    """The name to show on pages."""


class Found(msgspec.Struct, frozen=True):
    """A session that counts, and what the stages see of it."""

    token: Token
    session: Session


def encode(session: Session) -> bytes:
    """As it is sealed."""
    return msgspec.json.encode(session)


def decode(plain: bytes) -> Session | None:
    """The session; None where it is of another version's form."""
    try:
        return msgspec.json.decode(plain, type=Session)
    except (msgspec.DecodeError, RecursionError):
        return None


def name_of(key: bytes) -> str:
    """What a session is called by operators and in logs, by the key of its record: nothing can be found from it."""
    return b32encode(hashlib.sha256(b"ztproxy session " + key).digest()[:10]).decode().lower()


def token_of(session: Session, key: bytes, mapping: GroupMapping | None = None) -> Token:
    """What the stages see of a session; `mapping`: of its issuer's groups, where there is one."""
    groups, roles = NOWHERE if mapping is None else mapping.of(session.claims)
    said = msgspec.json.encode((session.claims, session.audience, session.issued_at), order="deterministic")
    return Token(
        digest=hashlib.sha256(key + said).digest(),
        issuer=session.issuer,
        subject=session.subject,
        audience=session.audience,
        claims=session.claims,
        kind="session",
        bound_to=session.certificate,
        issued_at=session.issued_at,
        expires_at=session.ends_at,
        key_id=session.key_id,
        session=name_of(key),
        groups=groups,
        roles=roles,
    )
