"""The public half of an ES256 key as a JSON Web Key (RFC 7517), named by its thumbprint (RFC 7638)."""

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric import ec

PublicKey = dict[str, str]
_COORDINATE = 32
"""Octets."""


def public_key(numbers: ec.EllipticCurvePublicNumbers) -> PublicKey:
    """As it is published."""
    public = {"crv": "P-256", "kty": "EC", "x": _encoded(numbers.x), "y": _encoded(numbers.y)}
    thumbprint = hashlib.sha256(json.dumps(public, separators=(",", ":"), sort_keys=True).encode()).digest()
    kid = base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
    return public | {"use": "sig", "alg": "ES256", "kid": kid}


def _encoded(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(_COORDINATE, "big")).rstrip(b"=").decode()
