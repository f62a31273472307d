"""The signed statement of who asks: a short-lived ES256 JWT that an upstream verifies with our published keys.

Claims: `iss` (configured), `aud` (the route's name), `iat`, `exp`, and
- `sub`: the token's subject, then with `token_issuer` beside it, because a subject means nothing without its issuer;
  else the certificate's SPIFFE ID or subject;
- `cnf` {"x5t#S256"}: the SHA-256 fingerprint of the client's certificate, where there is one (RFC 8705 §3.1).

Where nobody is known (neither certificate nor token) none is made: a signature that verifies always names somebody, so
that an upstream which looks at the signature alone is not misled. There is no `jti`: one assertion serves many requests
of the same identity until half its lifetime is over.
"""

import base64
from collections import OrderedDict
from typing import Any

import jwt

from ztproxy.model import Certificate, Token
from ztproxy.upstream.signing_key import SigningKey

_REMEMBERED = 8192
_SHORTEST = 5.0

_Key = tuple[str, str | None, bytes | None]


class Assertions:
    """Makes assertions and remembers them: bounded, each under exactly one route, certificate and token."""

    def __init__(self, key: SigningKey, issuer: str, lifetime: float) -> None:
        self._key = key
        self._issuer = issuer
        self._lifetime = lifetime
        self._made: OrderedDict[_Key, tuple[float, float, bytes]] = OrderedDict()

    def of(
        self, route: str, certificate: Certificate | None, token: Token | None, now: float
    ) -> tuple[bytes, float] | None:
        """The assertion and the time at which it must be remade; None where nobody is known. Seconds since 1970."""
        if certificate is None and token is None:
            return None
        key = (
            route,
            None if certificate is None else certificate.fingerprint,
            None if token is None else token.digest,
        )
        if (known := self._made.get(key)) and known[0] <= now < known[1]:
            return known[2], known[1]
        expires = self._expiry(certificate, token, now)
        assertion = self._sign(self._claims(route, certificate, token, now, expires))
        remade = now + (expires - now) / 2
        self._made[key] = (now, remade, assertion)
        self._made.move_to_end(key)
        if len(self._made) > _REMEMBERED:
            self._made.popitem(last=False)
        return assertion, remade

    def _expiry(self, certificate: Certificate | None, token: Token | None, now: float) -> float:
        """No later than what it rests on, but never already over: a token may still count within its leeway."""
        expires = now + self._lifetime
        if token is not None:
            expires = min(expires, token.expires_at)
        if certificate is not None:
            expires = min(expires, certificate.not_after)
        return max(expires, now + _SHORTEST)

    def _claims(
        self, route: str, certificate: Certificate | None, token: Token | None, now: float, expires: float
    ) -> dict[str, Any]:
        claims: dict[str, Any] = {"iss": self._issuer, "aud": route, "iat": int(now), "exp": int(expires)}
        if certificate is not None:
            claims["sub"] = certificate.spiffe_id or certificate.subject
            digest = base64.urlsafe_b64encode(bytes.fromhex(certificate.fingerprint)).rstrip(b"=")
            claims["cnf"] = {"x5t#S256": digest.decode()}
        if token is not None:
            claims["sub"] = token.subject
            claims["token_issuer"] = token.issuer
        return claims

    def _sign(self, claims: dict[str, Any]) -> bytes:
        return jwt.encode(claims, self._key.private, algorithm="ES256", headers={"kid": self._key.kid}).encode("ascii")
