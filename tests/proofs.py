"""Clients that prove their key (DPoP, RFC 9449): real keys, and proofs that are wrong in one stated way.

holder = Holder()                                        # ES256
token = issuer.tokens.token(cnf=holder.confirmation)     # bound to its key
holder.proof(token, "GET", "https://r.test/")            # for one request
holder.proof(token, jti="same", ath=ABSENT)              # other claims, or left out
holder.proof(token, header={"typ": "JWT"})
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.tokens import ABSENT, base64url, encode, private_key, public_jwk, signer

_NUMBERS = count()
_REQUIRED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638 §3."""
    members = {name: jwk[name] for name in _REQUIRED[jwk["kty"]]}
    return base64url(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()).decode()


class Holder:
    """A client with a key of its own."""

    def __init__(
        self, algorithm: str = "ES256", name: str = "holder", now: Callable[[], float] = time.time, bits: int = 2048
    ) -> None:
        self.algorithm = algorithm
        self.now = now
        self.key = private_key(algorithm, name, bits)
        self.jwk = public_jwk(self.key)

    @property
    def confirmation(self) -> dict[str, str]:
        """The `cnf` of tokens that are bound to its key."""
        return {"jkt": thumbprint(self.jwk)}

    def proof(
        self,
        token: bytes,
        method: str = "GET",
        url: str = "https://r.test/",
        *,
        header: Mapping[str, object] | None = None,
        sign: Callable[[bytes], bytes] | None = None,
        **claims: object,
    ) -> bytes:
        """A proof for one request with this token, with some claims replaced, added or `ABSENT`."""
        head = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.jwk} | dict(header or {})
        good = {
            "jti": f"proof-{next(_NUMBERS)}",
            "htm": method,
            "htu": url,
            "iat": int(self.now()),
            "ath": base64url(hashlib.sha256(token).digest()).decode(),
        } | claims
        kept = [{name: value for name, value in part.items() if value is not ABSENT} for part in (head, good)]
        return encode(kept[0], kept[1], sign or signer(self.algorithm, self.key))

    @property
    def private_jwk(self) -> dict[str, Any]:
        """Its key as nobody should show it."""
        numbers = self.key.private_numbers()
        secret = numbers.d if isinstance(self.key, rsa.RSAPrivateKey) else numbers.private_value
        return self.jwk | {"d": base64url(secret.to_bytes(256 if self.jwk["kty"] == "RSA" else 32, "big")).decode()}
