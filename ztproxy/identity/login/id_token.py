"""The ID token that ends a login: signed by the issuer, for us, for this very login (OpenID Connect Core 1.0 §3.1.3.7).

The signature is verified as that of every token: the same keys, the same list of algorithms. Authlib checks the claims
that are particular to a login; what it takes for absent because it is empty or zero is refused here first.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from ztproxy.identity.claims import Expected, accept
from ztproxy.identity.tokens import MAXIMUM_TOKEN, is_name, take_apart
from ztproxy.identity.trusted import TrustedIssuer
from ztproxy.model import Refusal, Token


class Unsound(msgspec.Struct, frozen=True):
    """Why an ID token does not hold; for the operator's log."""

    cause: str
    away: Refusal | None = None
    """The issuer's keys cannot be had, so that nothing is known of it."""


class Awaited(msgspec.Struct, frozen=True):
    """What the ID token of a login or a refresh has to say."""

    issuer: str
    client_id: str
    nonce: str | None
    """None after a refresh: it has none then, or that of the login (§12.2)."""
    access_token: str | None
    """What came with it."""
    auth_time: bool = False
    """It was asked for how long ago the person logged in."""


async def verify(
    id_token: str, awaited: Awaited, trusted: TrustedIssuer, wall: float, monotonic: float
) -> Token | Unsound:
    """The token, if it holds. Suspends only while the issuer's keys are fetched, which is bounded.

    Args:
        id_token: as received.
        awaited: what it has to say.
        trusted: the issuer and its keys.
        wall: seconds since 1970.
        monotonic: seconds of the monotonic clock.
    """
    octets = id_token.encode("utf-8", "replace")
    if len(octets) > MAXIMUM_TOKEN:
        return Unsound(f"the ID token is longer than {MAXIMUM_TOKEN} octets")
    unverified = take_apart(octets, hashlib.sha256(octets).digest())
    if isinstance(unverified, Refusal):
        return Unsound(f"the ID token: {unverified.detail}")
    if unverified.kind != "jwt" or unverified.issuer != awaited.issuer:
        return Unsound("the ID token is of another kind, or another issuer's")
    if unverified.algorithm not in trusted.algorithms:
        return Unsound("the ID token's algorithm is none of the issuer's `algorithms`")
    key = await trusted.store.find(unverified.key_id, unverified.algorithm, wall, monotonic)
    if isinstance(key, Refusal):
        away = key if key.status == 503 else None  # noqa: PLR2004 - Service Unavailable
        return Unsound(f"the ID token: {key.reason.word}", away)
    if not key.verifies(unverified.algorithm, unverified.signed, unverified.signature):
        return Unsound("the ID token's signature does not verify")
    expected = Expected(frozenset({awaited.client_id}), trusted.expected.leeway)
    token = accept(unverified, key.key_id, expected, wall)
    if isinstance(token, Refusal):
        return Unsound(f"the ID token: {token.reason.word} {token.detail}".rstrip())
    wrong = _unfit(token, unverified.algorithm, awaited, wall, expected.leeway)
    return token if wrong is None else Unsound(f"the ID token: {wrong}")


def _unfit(token: Token, algorithm: str, awaited: Awaited, wall: float, leeway: float) -> str | None:
    """What is wrong with the claims of a login; None where nothing is."""
    claims = token.claims
    for name in ("nonce", "azp", "at_hash", "sid", "acr"):
        if name in claims and not is_name(claims[name]):
            return f"its `{name}` is no name"
    if awaited.auth_time and not is_time(claims.get("auth_time")):
        return "it does not say when the person logged in"
    return _by_authlib(claims, algorithm, awaited, wall, leeway)


def _by_authlib(claims: Mapping[str, Any], algorithm: str, awaited: Awaited, wall: float, leeway: float) -> str | None:
    read = CodeIDToken(
        dict(claims),
        {"alg": algorithm},
        {"iss": {"value": awaited.issuer}},
        {"nonce": awaited.nonce, "client_id": awaited.client_id, "access_token": awaited.access_token},
    )
    try:
        read.validate(now=int(wall), leeway=int(leeway) + 1)
    except JoseError as wrong:
        return f"{wrong.error} {wrong.description}".rstrip()
    return None


def is_time(value: object) -> bool:
    """Whether a claim is a time, in seconds since 1970."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
