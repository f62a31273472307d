"""The signed statement of who asks: a short-lived ES256 JWT that an upstream verifies with our published keys.

Claims: `iss` (configured), `aud` (the route's name, or what it says), `iat`, `exp`, and
- `sub`: the token's subject, then with `token_issuer` beside it, because a subject means nothing without its issuer;
  else the certificate's SPIFFE ID or subject;
- `cnf` {"x5t#S256"}: the SHA-256 fingerprint of the client's certificate, where there is one (RFC 8705 §3.1);
- what the configuration maps (`assertion.claims`), in the types that it has; never one of those above.

Where nobody is known (neither certificate nor token) none is made: a signature that verifies always names somebody, so
that an upstream which looks at the signature alone is not misled. There is no `jti`: one assertion serves many requests
of the same identity until half its lifetime is over.
"""

import base64
import json
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import jwt

from ztproxy.config.assertions import REGISTERED, RouteAssertion
from ztproxy.config.settings import Settings
from ztproxy.model import Authorized, Certificate, Reason, Refusal, Token
from ztproxy.upstream.claim_sources import Source, sources
from ztproxy.upstream.key_ring import KeyRing

_REMEMBERED = 8192
_SHORTEST = 5.0
LARGEST_CLAIM = 4096
"""Octets of JSON."""
LARGEST_CLAIMS = 16384
"""Octets of JSON: what an upstream takes as a field is not much more."""


class Telling(NamedTuple):
    """What the assertions of one route say."""

    audience: str
    claims: tuple[tuple[str, Source], ...] = ()


class _Made(NamedTuple):
    """One that was made."""

    token: Token | None
    """The very object: another may have the same octets and, introspected again, other claims."""
    since: float
    remade: float
    assertion: bytes


def tellings(settings: Settings) -> dict[str, Telling | None]:
    """By route, what its assertions say; None where it has none."""
    shared = {} if settings.assertion is None else settings.assertion.claims
    return {route.name: _telling(route.name, route.assertion, shared) for route in settings.routes}


def _telling(route: str, own: RouteAssertion, shared: Mapping[str, str]) -> Telling | None:
    if own.off:
        return None
    return Telling(own.audience or route, sources(shared if own.claims is None else own.claims))


class Assertions:
    """Makes assertions and remembers them: bounded, each under everything that it is made of.

    That is the route, the certificate (its fingerprint stands for all its fields), the token (its digest and the very
    object stand for its claims) and, where a claim is made of them, parts of the request.
    """

    def __init__(self, keys: KeyRing, issuer: str, lifetime: float, tellings: Mapping[str, Telling | None]) -> None:
        self._keys = keys
        self._issuer = issuer
        self._lifetime = lifetime
        self._tellings = tellings
        self._made: OrderedDict[Hashable, _Made] = OrderedDict()

    def of(self, authorized: Authorized) -> tuple[bytes, float] | Refusal | None:
        """The assertion and the time at which it must be remade, seconds since 1970; None where there is none.

        Refuses with ASSERTION_TOO_LARGE what does not fit.
        """
        certificate, token = authorized.certificate, authorized.token
        telling = self._tellings[authorized.route]
        if telling is None or (certificate is None and token is None):
            return None
        now = authorized.arrived.wall
        key = (
            authorized.route,
            None if certificate is None else certificate.fingerprint,
            None if token is None else token.digest,
            tuple([source.read(authorized) for _, source in telling.claims if source.of_request]),
        )
        if (known := self._made.get(key)) and known.token is token and known.since <= now < known.remade:
            return known.assertion, known.remade
        mapped = _mapped(telling, authorized)
        if isinstance(mapped, Refusal):
            return mapped
        expires = self._expiry(certificate, token, now)
        assertion = self._sign(mapped | self._claims(telling.audience, certificate, token, now, expires), now)
        made = _Made(token, now, now + (expires - now) / 2, assertion)
        self._made[key] = made
        self._made.move_to_end(key)
        if len(self._made) > _REMEMBERED:
            self._made.popitem(last=False)
        return made.assertion, made.remade

    def _expiry(self, certificate: Certificate | None, token: Token | None, now: float) -> float:
        """No later than what it rests on, but never already over: a token may still count within its leeway."""
        expires = now + self._lifetime
        if token is not None:
            expires = min(expires, token.expires_at)
        if certificate is not None:
            expires = min(expires, certificate.not_after)
        return max(expires, now + _SHORTEST)

    def _claims(
        self, audience: str, certificate: Certificate | None, token: Token | None, now: float, expires: float
    ) -> dict[str, Any]:
        claims: dict[str, Any] = {"iss": self._issuer, "aud": audience, "iat": int(now), "exp": int(expires)}
        if certificate is not None:
            claims["sub"] = certificate.spiffe_id or certificate.subject
            digest = base64.urlsafe_b64encode(bytes.fromhex(certificate.fingerprint)).rstrip(b"=")
            claims["cnf"] = {"x5t#S256": digest.decode()}
        if token is not None:
            claims["sub"] = token.subject
            claims["token_issuer"] = token.issuer
        return claims

    def _sign(self, claims: dict[str, Any], now: float) -> bytes:
        key = self._keys.signing(now)
        return jwt.encode(claims, key.private, algorithm="ES256", headers={"kid": key.kid}).encode("ascii")


def _mapped(telling: Telling, authorized: Authorized) -> dict[str, Any] | Refusal:
    """The claims that are mapped; all of them or, where they do not fit, none."""
    mapped: dict[str, Any] = {}
    total = 0
    for name, source in telling.claims:
        value = source.read(authorized)
        if value is None or name in REGISTERED:
            continue
        try:
            size = len(json.dumps(value, allow_nan=False, separators=(",", ":")))
        except (ValueError, TypeError, RecursionError) as wrong:
            return _too_large(f"the claim {name} cannot be said in JSON ({type(wrong).__name__})")
        total += size + len(name)
        if size > LARGEST_CLAIM:
            return _too_large(f"the claim {name} has {size} octets, more than {LARGEST_CLAIM}")
        if total > LARGEST_CLAIMS:
            return _too_large(f"the mapped claims have more than {LARGEST_CLAIMS} octets in all")
        mapped[name] = value
    return mapped


def _too_large(cause: str) -> Refusal:
    return Refusal(Reason.ASSERTION_TOO_LARGE, cause=cause)
