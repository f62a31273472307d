"""The claims of a token whose signature verified: every one required, optional or knowingly left alone.

Required: `iss`, `sub`, `aud`, `exp`. Optional: `nbf`, `iat`, `cnf`. All others are the policy's to judge.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ztproxy.identity.tokens.access_tokens import lacking
from ztproxy.identity.tokens.confirmation import confirmation_of
from ztproxy.identity.tokens.groups import NOWHERE, GroupMapping
from ztproxy.identity.tokens.unverified import UnverifiedToken, is_name, malformed
from ztproxy.model import Reason, Refusal, Token

MAXIMUM_AUDIENCES = 64
_LAST_SECOND = 253402300799
"""Of the year 9999: what comes later is no date but an attack on arithmetic."""


class Expected(msgspec.Struct, frozen=True):
    """What an issuer's tokens must say: one of these audiences, within `leeway` seconds of our clock."""

    audiences: frozenset[str]
    leeway: float
    groups: GroupMapping | None = None
    """What they say about groups; None: nobody looks."""
    access_only: bool = False
    """A signed one must be an access token by its type and claims (RFC 9068)."""


def accept(signed: UnverifiedToken, key_id: str | None, expected: Expected, now: float) -> Token | Refusal:
    """The token, if its claims are complete, of the right types, for us and of now.

    Args:
        signed: a token whose signature was verified with a key of the issuer that it names.
        key_id: the id of that key.
        expected: what the issuer's tokens must say.
        now: seconds since 1970.
    """
    claims = signed.claims
    if expected.access_only and (lack := lacking(signed)) is not None:
        return Refusal(Reason.TOKEN_TYPE_REFUSED, lack)
    subject = claims.get("sub")
    if not is_name(subject):
        return malformed("The token's `sub` is absent or no name.")
    audience = _audience(claims)
    if audience is None:
        return malformed("The token's `aud` is absent or no list of names.")
    times = _times(claims)
    if times is None:
        return malformed("The token's `exp` is absent, or `exp`, `nbf` or `iat` is no date.")
    bound = confirmation_of(claims)
    if isinstance(bound, Refusal):
        return bound
    if expected.audiences.isdisjoint(audience):
        return Refusal(Reason.TOKEN_AUDIENCE_MISMATCH)
    expires_at, not_before, issued_at = times
    if now >= expires_at + expected.leeway:
        return Refusal(Reason.TOKEN_EXPIRED)
    if max(not_before or 0, issued_at or 0) > now + expected.leeway:
        return Refusal(Reason.TOKEN_NOT_YET_VALID)
    groups, roles = NOWHERE if expected.groups is None else expected.groups.of(claims)
    return Token(
        digest=signed.digest,
        issuer=signed.issuer,
        subject=subject,
        audience=audience,
        claims=claims,
        kind=signed.kind,
        bound_to=bound.certificate,
        issued_at=issued_at,
        expires_at=expires_at,
        key_id=key_id,
        bound_key=bound.key,
        groups=groups,
        roles=roles,
    )


def _audience(claims: Mapping[str, Any]) -> tuple[str, ...] | None:
    value = claims.get("aud")
    names = value if isinstance(value, list) else [value]
    if not 0 < len(names) <= MAXIMUM_AUDIENCES or not all(is_name(name) for name in names):
        return None
    return tuple(names)


def _times(claims: Mapping[str, Any]) -> tuple[float, float | None, float | None] | None:
    """`exp`, `nbf` and `iat`; None when one is malformed or `exp` is absent."""
    if "exp" not in claims:
        return None
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_SECOND:
            return None
    return claims["exp"], claims.get("nbf"), claims.get("iat")
