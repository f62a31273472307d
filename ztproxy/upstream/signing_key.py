"""The key that assertions are signed with: made at first start, published as a JSON Web Key Set."""

import base64
import hashlib
import json
import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ztproxy.store.private_file import create_private
from ztproxy.upstream.files import UnusableFileError

NO_KEYS = b'{"keys":[]}'
_COORDINATE = 32


class SigningKey:
    """An ES256 key, its identifier (RFC 7638) and its public half as a JSON Web Key Set (RFC 7517)."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self.private = private
        numbers = private.public_key().public_numbers()
        public = {"crv": "P-256", "kty": "EC", "x": _encoded(numbers.x), "y": _encoded(numbers.y)}
        thumbprint = hashlib.sha256(json.dumps(public, separators=(",", ":"), sort_keys=True).encode()).digest()
        self.kid = base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
        self.jwks = json.dumps({"keys": [public | {"use": "sig", "alg": "ES256", "kid": self.kid}]}).encode()


def load_or_create(path: Path) -> SigningKey:
    """The key in a PEM file; the file is made if absent, with its directory, readable by nobody else.

    Raises:
        UnusableFileError: naming the file: it cannot be made or read, is open to others, or holds another kind of key.
    """
    try:
        if not path.exists():
            _create(path)
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(65536)
    except OSError as wrong:
        raise UnusableFileError(path, f"the assertion key cannot be made or read ({wrong.strerror})") from None
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise UnusableFileError(
            path, "the assertion key is open to others: chmod 600 it, and replace it if they matter"
        )
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as wrong:
        raise UnusableFileError(path, f"holds no unencrypted PEM private key ({type(wrong).__name__})") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UnusableFileError(path, "assertions are signed with ES256: an elliptic curve key on P-256 is needed")
    return SigningKey(key)


def _create(path: Path) -> None:
    """Write a new key whole or not at all; where another process was first, its key stays."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    create_private(path, pem)


def _encoded(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(_COORDINATE, "big")).rstrip(b"=").decode()
