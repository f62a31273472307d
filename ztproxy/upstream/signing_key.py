"""A key that assertions are signed with: made at first start, published by its public half."""

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ztproxy.store.owned_file import create_private
from ztproxy.upstream.files import UnusableFileError
from ztproxy.upstream.public_key import public_key

NO_KEYS = b'{"keys":[]}'


class SigningKey:
    """An ES256 key, its public half as it is published, and its identifier."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self.private = private
        self.public = public_key(private.public_key().public_numbers())
        self.kid = self.public["kid"]


def load_or_create(path: Path) -> SigningKey:
    """The key in a PEM file; the file is made if absent, with its directory, readable by nobody else.

    Raises:
        UnusableFileError: naming the file: it cannot be made or read, is open to others, or holds another kind of key.
    """
    try:
        if not path.exists():
            create(path)
    except OSError as wrong:
        raise UnusableFileError(path, f"the assertion key cannot be made or read ({wrong.strerror})") from None
    return load(path)


def load(path: Path) -> SigningKey:
    """The key in a PEM file. Raises `UnusableFileError` as `load_or_create` does, and where there is none."""
    try:
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


def create(path: Path) -> None:
    """Write a new key whole or not at all; where another process was first, its key stays."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    create_private(path, pem)
