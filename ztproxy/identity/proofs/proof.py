"""A DPoP proof as received, taken apart and bounded, and what it has to say (RFC 9449 §4.2, §4.3).

Nothing in it is believed before the token that comes with it names its key, and that key's signature verifies.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ztproxy.identity.issuers.keys import Key, is_private, read_key
from ztproxy.identity.strict_json import MalformedError, decode_base64url, read_object
from ztproxy.identity.tokens.unverified import is_name

MAXIMUM_PROOF = 8192
"""Octets."""
MAXIMUM_JTI = 256
"""Characters."""
_TYPE = "dpop+jwt"
_MEMBERS = frozenset({"typ", "alg", "jwk", "kid"})
"""What the header may hold: everything else names keys elsewhere (`jku`, `x5u`, `x5c`) or demands what we lack."""


class ProofKey(msgspec.Struct, frozen=True):
    """What a proof's header says: the key that it wants to be verified with, and how."""

    algorithm: str
    key: Key
    thumbprint: str


class UnverifiedProof(msgspec.Struct, frozen=True):
    """A proof's parts, well formed and nothing more."""

    header: bytes
    """As received, base64url: clients send the same one again and again."""
    claims: Mapping[str, Any]
    token_id: str
    """The claim `jti`."""
    signed: bytes
    signature: bytes


class Unfit(ValueError):  # noqa: N818 - why a proof does not hold, raised and caught within this package
    """A proof that does not hold: the message says why and repeats nothing of it."""


def take_apart(proof: bytes) -> UnverifiedProof:
    """A proof's parts; raises `Unfit`."""
    if len(proof) > MAXIMUM_PROOF:
        raise Unfit(f"it is longer than {MAXIMUM_PROOF} octets")
    parts = proof.split(b".", 3)
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        raise Unfit("it has not three parts")
    try:
        claims = read_object(decode_base64url(parts[1]))
        signature = decode_base64url(parts[2])
    except MalformedError as wrong:
        raise Unfit(f"it cannot be read: {wrong}") from None
    token_id = claims.get("jti")
    if not is_name(token_id) or len(token_id) > MAXIMUM_JTI:
        raise Unfit(f"its `jti` is absent or no string of at most {MAXIMUM_JTI} characters")
    return UnverifiedProof(parts[0], claims, token_id, proof[: len(parts[0]) + 1 + len(parts[1])], signature)


def read_header(header: bytes, algorithms: frozenset[str]) -> ProofKey:
    """The key that a proof brings along, public and sound, for one of the allowed algorithms; raises `Unfit`."""
    try:
        members = read_object(decode_base64url(header))
    except MalformedError as wrong:
        raise Unfit(f"its header cannot be read: {wrong}") from None
    if members.get("typ") != _TYPE:
        raise Unfit(f"its `typ` is not {_TYPE}")
    if members.keys() - _MEMBERS:
        raise Unfit("its header holds more than `typ`, `alg`, `jwk` and `kid`")
    algorithm, jwk = members.get("alg"), members.get("jwk")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise Unfit("its `alg` is not among the allowed ones")
    if not isinstance(jwk, dict):
        raise Unfit("its `jwk` is absent or no key")
    if is_private(jwk):
        raise Unfit("its `jwk` shows a private or a symmetric key; whoever saw it can use it")
    if any(name.startswith("x5") for name in jwk):
        raise Unfit("its `jwk` brings certificates along")
    key = read_key(jwk)
    if key is None or not key.fits(algorithm):
        raise Unfit("its `jwk` is malformed, weak, not for signatures, or not for its `alg`")
    return ProofKey(algorithm, key, key.thumbprint)


def check_times(claims: Mapping[str, Any], maximum_age: float, leeway: float, now: float) -> float:
    """When the proof was made, if that was a moment ago (RFC 9449 §11.1); raises `Unfit`.

    Args:
        claims: the proof's.
        maximum_age: seconds that it may be old.
        leeway: seconds that its maker's clock may be ahead.
        now: seconds since 1970.
    """
    made_at = _time(claims, "iat")
    if made_at is None:
        raise Unfit("its `iat` is absent")
    if made_at < now - maximum_age:
        raise Unfit(f"it was made more than {maximum_age:g} s ago by our clock (`iat`)")
    if max(made_at, _time(claims, "nbf") or 0) > now + leeway:
        raise Unfit(f"it is from more than {leeway:g} s ahead of our clock (`iat`, `nbf`)")
    expires_at = _time(claims, "exp")
    if expires_at is not None and now >= expires_at + leeway:
        raise Unfit("it has expired (`exp`)")
    return made_at


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise Unfit(f"its `{name}` is no time")
    return float(value)
