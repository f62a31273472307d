"""A session out of what the issuer's endpoints gave: verified, complete, and about one person."""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from ztproxy.identity.issuers.kept import Clock
from ztproxy.identity.issuers.metadata import Metadata
from ztproxy.identity.login.context import LoginIssuer
from ztproxy.identity.login.grants import Away, Tokens
from ztproxy.identity.login.id_token import Awaited, Unsound, verify
from ztproxy.identity.sessions.session import Session
from ztproxy.model import Token
from ztproxy.page import person

_REFRESHED_AFTER = 0.8
"""Of the time that an access token counts."""
_SHORTEST = 30
"""Seconds that it is taken to count at least: nobody asks an issuer more often."""
_OF_THE_ID_TOKEN = frozenset(
    {"iss", "sub", "aud", "exp", "iat", "nbf", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "sid"}
)
"""What userinfo cannot change: it says who logged in, when and how."""
_OF_ONE_LOGIN = frozenset({"nonce", "at_hash", "c_hash", "jti"})
"""What has done its work once the ID token holds."""


_FAR = 253402300799.0
"""The year 9999: `sessions.lifetime` ends a session long before."""


class Known(msgspec.Struct, frozen=True):
    """Who somebody is, by their issuer."""

    token: Token
    """The ID token."""
    claims: dict[str, Any]
    """With those of userinfo."""


async def known(
    issuer: LoginIssuer, metadata: Metadata, tokens: Tokens, awaited: Awaited, clock: Clock
) -> Known | Unsound | Away:
    """Who the tokens are about, if they hold."""
    if tokens.unverified_id_token is None:
        return Unsound("the token endpoint gave no ID token")
    token = await verify(tokens.unverified_id_token, awaited, issuer.trusted, clock.wall(), clock.monotonic())
    if isinstance(token, Unsound):
        return token
    claims = {name: value for name, value in token.claims.items() if name not in _OF_ONE_LOGIN}
    if issuer.config.userinfo:
        more = await further(issuer, metadata, tokens.access_token, token.subject)
        if not isinstance(more, dict):
            return more
        claims = more | claims
    return Known(token, claims)


async def further(
    issuer: LoginIssuer, metadata: Metadata, access_token: str, subject: str
) -> dict[str, Any] | Unsound | Away:
    """What userinfo says beside the ID token; it has to be about the same person (OpenID Connect Core 1.0 §5.3.2)."""
    said: Mapping[str, Any] | Away = await issuer.endpoints.userinfo(metadata, access_token)
    if isinstance(said, Away):
        return said
    if said.get("sub") != subject:
        return Unsound("userinfo is about another person than the ID token")
    return {name: value for name, value in said.items() if name not in _OF_THE_ID_TOKEN}


def session(
    who: Known, tokens: Tokens, *, client_id: str, host: str, route: str, certificate: str | None, now: float
) -> Session:
    """The session of somebody who logged in. `sessions.lifetime` bounds it where it begins."""
    token = who.token
    sid = token.claims.get("sid")
    refresh_at, expires_at = times(tokens, token, now)
    return Session(
        issuer=token.issuer,
        client_id=client_id,
        subject=token.subject,
        claims=who.claims,
        audience=token.audience,
        host=host,
        route=route,
        created_at=now,
        used_at=now,
        ends_at=_FAR,
        id_token=tokens.unverified_id_token or "",
        # Without a `sid` of the issuer's, the sessions of one login are still found together, by a name that no issuer
        # can say.
        op_session=sid if isinstance(sid, str) else f"login:{secrets.token_urlsafe(32)}",
        certificate=certificate,
        refresh_token=tokens.refresh_token,
        refresh_at=refresh_at,
        token_expires_at=expires_at,
        issued_at=token.issued_at,
        key_id=token.key_id,
        display=person(who.claims, token.subject),
    )


def times(tokens: Tokens, token: Token | None, now: float) -> tuple[float | None, float | None]:
    """When claims are to be refreshed, and when they have to be; never, without a refresh token."""
    if tokens.refresh_token is None:
        return None, None
    by_id_token = None if token is None else int(token.expires_at - now)
    lasts = max(_SHORTEST, tokens.expires_in or by_id_token or _SHORTEST)
    return now + lasts * _REFRESHED_AFTER, now + lasts
