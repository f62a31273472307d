"""A bearer token as received, taken apart and bounded. Nothing in it is believed yet (RFC 7515, RFC 7519, RFC 8725)."""

import re
from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec

from ztproxy.config.spiffe_ids import SCHEME, is_workload_id, trust_domain_of
from ztproxy.identity.strict_json import MalformedError, decode_base64url, read_object
from ztproxy.model import Reason, Refusal

MAXIMUM_TOKEN = 16384
"""Octets."""
MAXIMUM_NAME = 1024
"""Characters of an issuer, a subject, an audience or a key's id."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BEARER = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
_KEYS_IN_HEADER = ("jwk", "jku", "x5u", "x5c")
_KINDS = {None: "jwt", "jwt": "jwt", "at+jwt": "access", "application/at+jwt": "access", "application/jwt": "jwt"}
"""What `typ` may say, in lower case (RFC 7519 §5.1, RFC 9068 §2.1): a logout token is no access token."""
LOGOUT_KINDS: Mapping[str | None, str] = {None: "logout", "jwt": "logout", "logout+jwt": "logout"}
"""And that of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4)."""


class UnverifiedToken(msgspec.Struct, frozen=True):
    """A token's parts, well formed and nothing more: whoever sent it may have made it up."""

    digest: bytes
    """SHA-256 of the token as received."""
    algorithm: str
    key_id: str | None
    kind: str
    issuer: str
    """Its `iss`; empty where it has none, as a JWT-SVID may."""
    svid_issuer: str | None
    """The trust domain, spiffe://…, that its subject is a workload of."""
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def under_scheme(authorization: bytes, scheme: bytes) -> bytes | None:
    """What an Authorization value presents under a scheme, in lower case; None when it is of another scheme.

    The scheme's case does not matter (RFC 9110 §11.1). What follows may still be anything, or nothing.
    """
    given, _, token = authorization.partition(b" ")
    return token.lstrip(b" ") if given.lower() == scheme else None


def is_name(value: object) -> TypeGuard[str]:
    """Whether a value can name somebody: a string, not empty, bounded, with nothing unprintable in it."""
    return isinstance(value, str) and 0 < len(value) <= MAXIMUM_NAME and not _UNPRINTABLE.search(value)


def is_opaque(token: bytes) -> bool:
    """Whether it could be a bearer token (RFC 6750 §2.1), and is no signed one: of another shape, or without a header.

    What has the shape of a signed token is judged as one and never sent to an issuer that did not make it. An encrypted
    one (RFC 7516) has five parts: it says nothing to us.
    """
    if not _BEARER.fullmatch(token):
        return False
    parts = token.split(b".", 3)
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        return True
    try:
        read_object(decode_base64url(parts[0]))
    except MalformedError:
        return True
    return False


def svid_issuer(subject: object) -> str | None:
    """Whose JWT-SVID a token is by its subject, as `issuers` names it; None when it is none (JWT-SVID §3.1)."""
    return SCHEME + trust_domain_of(subject) if isinstance(subject, str) and is_workload_id(subject) else None


def malformed(detail: str) -> Refusal:
    """The refusal of what is no token; `detail` repeats nothing of it."""
    return Refusal(Reason.TOKEN_MALFORMED, detail)


def take_apart(token: bytes, digest: bytes, kinds: Mapping[str | None, str] = _KINDS) -> UnverifiedToken | Refusal:
    """Take a token of at most `MAXIMUM_TOKEN` octets apart: its spelling, then the header, then the issuer's name.

    Keys and certificates in the header are never looked at: a token that carries any is refused (RFC 8725 §3.10).
    """
    parts = token.split(b".", 3)
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        return malformed("The token has not three parts.")
    try:
        header = read_object(decode_base64url(parts[0]))
    except MalformedError as wrong:
        return malformed(f"The token's header cannot be read: {wrong}.")
    kind = _kind(header, kinds)
    if isinstance(kind, Refusal):
        return kind
    try:
        claims = read_object(decode_base64url(parts[1]))
        signature = decode_base64url(parts[2])
    except MalformedError as wrong:
        return malformed(f"The token cannot be read: {wrong}.")
    issuer, workload = claims.get("iss"), svid_issuer(claims.get("sub"))
    if not is_name(issuer) and not (workload and "iss" not in claims):
        return malformed("The token's `iss` is absent or no name.")
    return UnverifiedToken(
        digest=digest,
        algorithm=header["alg"],
        key_id=header.get("kid"),
        kind=kind,
        issuer=issuer or "",
        svid_issuer=workload,
        claims=claims,
        signed=token[: len(parts[0]) + 1 + len(parts[1])],
        signature=signature,
    )


def _kind(header: Mapping[str, Any], kinds: Mapping[str | None, str]) -> str | Refusal:
    """What kind of token the header announces; a refusal when it says what we do not or must not understand."""
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str):
        return malformed("The token's `alg` is absent or no string.")
    if "kid" in header and not is_name(key_id):
        return malformed("The token's `kid` is no name.")
    if "crit" in header or "b64" in header:
        return malformed("The token demands extensions that are not understood.")
    if any(name in header for name in _KEYS_IN_HEADER):
        return malformed("The token brings its own key along.")
    if "typ" in header and not isinstance(kind, str):
        return malformed("The token's `typ` is no string.")
    known = kinds.get(kind.lower() if kind is not None else None)
    return known if known is not None else malformed("The token's `typ` is not that of a bearer token.")
