"""The key ring: what is kept outside of the process is sealed by its first key, and opened by any of them.

A file, mode 0600, a key a line: 32 octets, base64url. `#` begins a comment. A new first key rotates the ring; what was
sealed by a key that is gone cannot be opened, nor found, any more.

    sealed = key's id (8) | salt (16) | nonce (12) | AES-256-GCM of the plain text, with its tag (16)

The key of each seal is made of the ring's key, the purpose and the salt, so that no two seals in a ring's whole life
share both key and nonce. Purpose and context are authenticated: what was sealed for one place opens in no other.
"""

import binascii
import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ztproxy.store.owned_file import create_private, read_private, replace_private
from ztproxy.store.unusable import StoreError

KEY = 32
MOST_KEYS = 8
_ID, _SALT, _NONCE, _TAG = 8, 16, 12, 16
_HEAD = _ID + _SALT + _NONCE
_LONGEST_FILE = 16384


class Ring:
    """Keys, the first of which seals."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not 0 < len(keys) <= MOST_KEYS or any(len(key) != KEY for key in keys) or len(set(keys)) != len(keys):
            raise ValueError(f"a key ring has 1 to {MOST_KEYS} different keys of {KEY} octets")
        self._keys = {_derived(key, "id")[:_ID]: key for key in keys}
        self._first = next(iter(self._keys))
        self._derived: dict[tuple[bytes, str], bytes] = {}

    def __len__(self) -> int:
        """How many keys it has."""
        return len(self._keys)

    def seal(self, purpose: str, context: bytes, plain: bytes) -> bytes:
        """Seal octets for a purpose and a context: what opens them has to name both.

        Args:
            purpose: what they are for; few different ones.
            context: where they belong, as the key of their record.
            plain: the octets.
        """
        salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
        key = self._sealing(self._first, purpose, salt)
        return self._first + salt + nonce + AESGCM(key).encrypt(nonce, plain, _bound(purpose, context))

    def open(self, purpose: str, context: bytes, sealed: bytes) -> bytes | None:
        """What was sealed for this purpose and context; None: it was not, or by no key of this ring."""
        if len(sealed) < _HEAD + _TAG or (by := sealed[:_ID]) not in self._keys:
            return None
        salt, nonce = sealed[_ID : _ID + _SALT], sealed[_ID + _SALT : _HEAD]
        try:
            return AESGCM(self._sealing(by, purpose, salt)).decrypt(nonce, sealed[_HEAD:], _bound(purpose, context))
        except InvalidTag:
            return None

    def names(self, purpose: str, secret: bytes) -> tuple[bytes, ...]:
        """What something secret is stored under: its HMAC-SHA-256 by each key of the ring, the first key's first.

        Nobody who reads the store learns the secret, or can tell whether a guess is right.
        """
        return tuple(hmac.digest(self._key(by, f"name {purpose}"), secret, "sha256") for by in self._keys)

    def _sealing(self, by: bytes, purpose: str, salt: bytes) -> bytes:
        return hmac.digest(self._key(by, f"seal {purpose}"), salt, "sha256")

    def _key(self, by: bytes, purpose: str) -> bytes:
        key = self._derived.get((by, purpose))
        if key is None:
            key = self._derived[by, purpose] = _derived(self._keys[by], purpose)
        return key


def load_or_create(path: Path, *, create: bool = True) -> Ring:
    """The ring in a file, which is made if absent.

    Raises:
        StoreError: it cannot be made or read, is not ours alone, or holds anything but keys.
    """
    if create and not path.exists():
        try:
            create_private(path, written([os.urandom(KEY)]))
        except OSError as wrong:
            raise StoreError(path, f"cannot be made ({wrong.strerror or wrong})") from None
    return Ring(read_keys(path))


def read_keys(path: Path) -> list[bytes]:
    """The keys in a file. Raises `StoreError`."""
    lines = read_private(path, _LONGEST_FILE).split(b"\n")
    keys = [_read_key(path, number, line.strip()) for number, line in enumerate(lines, 1) if _says(line)]
    if not 0 < len(keys) <= MOST_KEYS or len(set(keys)) != len(keys):
        raise StoreError(path, f"a key ring has 1 to {MOST_KEYS} different keys")
    return keys


def rotate(path: Path, keep: int = MOST_KEYS - 1) -> int:
    """Put a new first key into a ring's file, made if absent, and keep so many of those before; how many it has now.

    Raises:
        StoreError: the file is there and cannot be read, or cannot be replaced.
    """
    before = read_keys(path)[:keep] if path.exists() else []
    try:
        replace_private(path, written([os.urandom(KEY), *before]))
    except OSError as wrong:
        raise StoreError(path, f"cannot be made ({wrong.strerror or wrong})") from None
    return 1 + len(before)


def written(keys: Sequence[bytes]) -> bytes:
    """A ring's file."""
    head = b"# ztproxy's key ring: the first key seals, all of them open. Whoever reads this reads all sessions.\n"
    return head + b"".join(urlsafe_b64encode(key) + b"\n" for key in keys)


def _says(line: bytes) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(b"#")


def _read_key(path: Path, number: int, line: bytes) -> bytes:
    try:
        key = urlsafe_b64decode(line)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY or line != urlsafe_b64encode(key):
        raise StoreError(path, f"line {number} is no key: {KEY} octets in base64url")
    return key


def _derived(key: bytes, purpose: str) -> bytes:
    return HKDFExpand(hashes.SHA256(), KEY, b"ztproxy ring 1 " + purpose.encode()).derive(key)


def _bound(purpose: str, context: bytes) -> bytes:
    name = purpose.encode()
    return len(name).to_bytes(2, "big") + name + context
