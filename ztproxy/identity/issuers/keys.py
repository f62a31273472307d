"""An issuer's published keys, strictly read (RFC 7517, RFC 7518 §6, RFC 8037), and which of them verifies a token."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import InvalidKeyError

from ztproxy.identity.certificates.weak_rsa import is_weak
from ztproxy.identity.strict_json import MalformedError, decode_base64url, encode_base64url, read_object
from ztproxy.identity.tokens.unverified import is_name

MAXIMUM_KEYS = 100
_ALGORITHMS: Final[Mapping[str, Algorithm]] = get_default_algorithms()
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of private and of symmetric keys (RFC 7518 §6)."""
_FITS = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""The key type and curve that each algorithm takes, and no other (RFC 8725 §3.1)."""
_READ_BY = {("RSA", None): "RS256", ("OKP", "Ed25519"): "EdDSA"} | {
    kind: name for name, kind in _FITS.items() if name.startswith("ES")
}


class Key(msgspec.Struct, frozen=True):
    """A public key for signatures, and what its issuer says about its use."""

    key_id: str | None
    kind: tuple[str, str | None]
    """Key type and curve."""
    algorithm: str | None
    """The only algorithm that it is for; None: any that fits its type."""
    public: Any
    jwk: Mapping[str, str]
    """Its public members, as they are kept over a restart."""
    identity: bytes
    """The same for the same key with the same id and use, and for no other."""

    def fits(self, algorithm: str) -> bool:
        """Whether it may verify signatures of this algorithm."""
        return _FITS.get(algorithm) == self.kind and self.algorithm in (None, algorithm)

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether the signature over `signed` is by this key."""
        return self.fits(algorithm) and _ALGORITHMS[algorithm].verify(signed, self.public, signature)

    @property
    def thumbprint(self) -> str:
        """What names the key by itself alone, base64url (RFC 7638 §3)."""
        members = {name: self.jwk[name] for name in ("kty", *_MEMBERS[self.kind[0]])}
        digest = hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest()
        return encode_base64url(digest)


class KeySet(msgspec.Struct, frozen=True):
    """The usable keys of one successful fetch."""

    keys: tuple[Key, ...] = ()
    identities: frozenset[bytes] = frozenset()

    def has(self, key_id: str) -> bool:
        """Whether a key of this id is among them."""
        return any(key.key_id == key_id for key in self.keys)

    def find(self, key_id: str | None, algorithm: str) -> Key | None:
        """The one key that a token can mean; None when there is none, or none can be told from another."""
        found = [key for key in self.keys if key.fits(algorithm) and key_id in (None, key.key_id)]
        return found[0] if len(found) == 1 else None


def read_key_set(document: bytes) -> KeySet:
    """The keys of a JWK set (RFC 7517 §5).

    What is private, symmetric, weak, of an unknown type or not for signatures is left out, and so is every key that
    shares its id with another of its type: neither can be told from the other. Raises `MalformedError`.
    """
    members = read_object(document).get("keys")
    if not isinstance(members, list):
        raise MalformedError("it has no list `keys`")
    if len(members) > MAXIMUM_KEYS:
        raise MalformedError(f"it holds more than {MAXIMUM_KEYS} keys")
    jwks = [jwk for jwk in members if isinstance(jwk, dict)]
    named: Counter[tuple[str, str] | None] = Counter(name for jwk in jwks if (name := _name_of(jwk)) is not None)
    return key_set(key for jwk in jwks if named[_name_of(jwk)] <= 1 and (key := read_key(jwk)) is not None)


def key_set(keys: Iterable[Key]) -> KeySet:
    """A set of these keys."""
    kept = tuple(keys)
    return KeySet(kept, frozenset(key.identity for key in kept))


def _name_of(jwk: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a token can name a key by: its id, and its type through the algorithm."""
    key_id, kty = jwk.get("kid"), jwk.get("kty")
    return (key_id, kty) if is_name(key_id) and is_name(kty) else None


def is_private(jwk: Mapping[str, Any]) -> bool:
    """Whether a key shows what only its holder may know."""
    return not _PRIVATE.isdisjoint(jwk)


def read_key(jwk: Mapping[str, Any]) -> Key | None:
    """The key, None when it is not one to verify signatures with."""
    kty, key_id, algorithm = jwk.get("kty"), jwk.get("kid"), jwk.get("alg")
    if not isinstance(kty, str) or kty not in _MEMBERS or not _is_for_signatures(jwk):
        return None
    if ("kid" in jwk and not is_name(key_id)) or ("alg" in jwk and not isinstance(algorithm, str)):
        return None
    public = {name: str(jwk[name]) for name in _MEMBERS[kty] if isinstance(jwk.get(name), str)} | {"kty": kty}
    if len(public) != len(_MEMBERS[kty]) + 1:
        return None
    kind = (kty, public.get("crv"))
    if kind not in _READ_BY or (algorithm is not None and _FITS.get(algorithm) != kind):
        return None
    loaded = _load(kind, public)
    if loaded is None:
        return None
    named = {name: value for name, value in (("kid", key_id), ("alg", algorithm)) if value is not None}
    kept = public | named
    identity = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).digest()
    return Key(key_id, kind, algorithm, loaded, kept, identity)


def _is_for_signatures(jwk: Mapping[str, Any]) -> bool:
    """Whether it is a public key whose `use` and `key_ops` do not say otherwise (RFC 7517 §4.2, §4.3)."""
    if is_private(jwk) or jwk.get("use", "sig") != "sig":
        return False
    operations = jwk.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _load(kind: tuple[str, str | None], public: Mapping[str, Any]) -> Any:
    """The public key of `cryptography`, None when it is malformed or weak."""
    try:
        for name in ("n", "e", "x", "y"):
            decode_base64url(public.get(name, "").encode("ascii"))
        key = _ALGORITHMS[_READ_BY[kind]].from_jwk(dict(public))
    except (ValueError, InvalidKeyError):
        return None
    if isinstance(key, RSAPublicKey) and is_weak(key):
        return None
    return key
