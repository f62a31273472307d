"""Public keys of other nodes, to be published beside our own: read strictly, and written anew."""

import base64
import binascii
import json
import re
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from ztproxy.upstream.files import UnusableFileError
from ztproxy.upstream.public_key import PublicKey, public_key

_LARGEST = 65536
_MAXIMUM_KEYS = 64
_COORDINATE = re.compile(r"[A-Za-z0-9_-]{43}")


def read_key_set(path: Path) -> dict[str, PublicKey]:
    """The ES256 keys of a JSON Web Key Set file, by identifier.

    Raises:
        UnusableFileError: it cannot be read, or holds anything but public ES256 keys with their thumbprints (RFC 7638)
            as identifiers.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as wrong:
        raise UnusableFileError(path, f"the key set cannot be read ({wrong.strerror})") from None
    try:
        keys = json.loads(content)["keys"] if len(content) <= _LARGEST else None
    except (ValueError, TypeError, KeyError, RecursionError):
        keys = None
    if not isinstance(keys, list) or len(keys) > _MAXIMUM_KEYS:
        raise UnusableFileError(path, f"is no JSON Web Key Set of at most {_MAXIMUM_KEYS} keys")
    found = [_read(key, path) for key in keys]
    return {key["kid"]: key for key in found}


def _read(key: Any, path: Path) -> PublicKey:
    if not isinstance(key, dict) or "d" in key or (key.get("kty"), key.get("crv")) != ("EC", "P-256"):
        raise UnusableFileError(
            path, "holds something else than public ES256 keys; a private key is nobody's to publish"
        )
    try:
        numbers = ec.EllipticCurvePublicNumbers(_number(key.get("x")), _number(key.get("y")), ec.SECP256R1())
        numbers.public_key()
    except ValueError:
        raise UnusableFileError(path, "holds a key that is no point of P-256") from None
    made = public_key(numbers)
    if key.get("kid") != made["kid"]:
        raise UnusableFileError(path, "holds a key whose `kid` is not its thumbprint (RFC 7638)")
    return made


def _number(text: object) -> int:
    if not isinstance(text, str) or not _COORDINATE.fullmatch(text):
        raise ValueError("no coordinate")
    try:
        return int.from_bytes(base64.urlsafe_b64decode(text + "="), "big")
    except binascii.Error as wrong:
        raise ValueError("no coordinate") from wrong
