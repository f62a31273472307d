"""Real keys and tokens for tests: an issuer that signs, its JWKS, and tokens that are wrong in one stated way.

issuer = TokenIssuer("https://login.test")          # RS256, key id "key-1"
issuer.token()                                       # a good one, audience "ztproxy", subject "alice", for an hour
issuer.token(sub="bob", aud=["a", "ztproxy"])        # other claims
issuer.token(exp=ABSENT)                             # a claim left out
issuer.token(header={"typ": "at+jwt", "kid": ABSENT})
issuer.jwks()                                        # {"keys": [...]}, as published
encode(header, payload, signer)                      # anything at all
"""

import base64
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ABSENT: Final = object()
"""In place of a claim or a header member: leave it out."""

_ALGORITHMS = get_default_algorithms()
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@functools.cache
def private_key(algorithm: str = "RS256", name: str = "key-1", bits: int = 2048) -> PrivateKey:
    """A key for the algorithm; the same for the same name, since making an RSA key is slow."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def base64url(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def confirmation(certificate_der: bytes) -> dict[str, str]:
    """The `cnf` claim that binds a token to a client certificate (RFC 8705 §3.1)."""
    return {"x5t#S256": base64url(hashlib.sha256(certificate_der).digest()).decode()}


def public_jwk(key: PrivateKey, **members: object) -> dict[str, Any]:
    """The public part as a JWK, with further members (`kid`, `use`, `alg`, `key_ops`)."""
    name = next(
        name
        for name, of in (
            ("RS256", rsa.RSAPrivateKey),
            ("ES256", ec.EllipticCurvePrivateKey),
            ("EdDSA", ed25519.Ed25519PrivateKey),
        )
        if isinstance(key, of)
    )
    jwk = dict(_ALGORITHMS[name].to_jwk(key.public_key(), as_dict=True))
    jwk.pop("key_ops", None)
    return jwk | {name: value for name, value in members.items() if value is not ABSENT}


def signer(algorithm: str, key: PrivateKey | bytes) -> Callable[[bytes], bytes]:
    """What signs with the algorithm; an HMAC takes its secret as bytes."""
    return lambda data: _ALGORITHMS[algorithm].sign(data, key)


def encode(
    header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, sign: Callable[[bytes], bytes]
) -> bytes:
    """A token of exactly this header and payload; bytes are taken as they are."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = b".".join(base64url(part) for part in parts)
    return signed + b"." + base64url(sign(signed))


class TokenIssuer:
    """An issuer with one signing key."""

    def __init__(
        self,
        issuer: str = "https://login.test",
        *,
        algorithm: str = "RS256",
        kid: str = "key-1",
        audience: str | list[str] = "ztproxy",
        bits: int = 2048,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self.algorithm = algorithm
        self.kid = kid
        self.audience = audience
        self.now = now
        self.key = private_key(algorithm, f"{issuer} {kid}", bits)

    def claims(self, **claims: object) -> dict[str, Any]:
        """The claims of a good token, with some replaced, added or `ABSENT`."""
        now = int(self.now())
        good = {"iss": self.issuer, "sub": "alice", "aud": self.audience, "iat": now, "exp": now + 3600}
        return {name: value for name, value in (good | claims).items() if value is not ABSENT}

    def head(self, **members: object) -> dict[str, Any]:
        """The header of a good token, with some members replaced, added or `ABSENT`."""
        good = {"alg": self.algorithm, "typ": "JWT", "kid": self.kid}
        return {name: value for name, value in (good | members).items() if value is not ABSENT}

    def sign(self, data: bytes) -> bytes:
        """A signature by its key."""
        return signer(self.algorithm, self.key)(data)

    def token(self, *, header: Mapping[str, object] | None = None, **claims: object) -> bytes:
        """A token by its key."""
        return encode(self.head(**(header or {})), self.claims(**claims), self.sign)

    def bearer(self, **claims: object) -> bytes:
        """The value of an Authorization field."""
        return b"Bearer " + self.token(**claims)

    def jwk(self, **members: object) -> dict[str, Any]:
        """Its public key as it is published."""
        return public_jwk(self.key, **({"kid": self.kid, "use": "sig", "alg": self.algorithm} | members))

    def jwks(self, *further: Mapping[str, Any]) -> dict[str, Any]:
        """The key set that it publishes."""
        return {"keys": [self.jwk(), *further]}
