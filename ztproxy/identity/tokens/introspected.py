"""What an issuer said about a token, strictly read (RFC 7662 §2.2): one is active, or it is not; nothing in between."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ztproxy.identity.strict_json import MalformedError, read_object
from ztproxy.identity.tokens.claims import Expected, accept
from ztproxy.identity.tokens.unverified import UnverifiedToken
from ztproxy.model import Reason, Refusal, Token

MAXIMUM_ANSWER = 64 * 1024
"""Octets."""
OPAQUE = "opaque"
"""The kind of a token that says nothing by itself."""
_ACCESS = frozenset(
    {"bearer", "dpop", "access_token", "jwt", "at+jwt", "urn:ietf:params:oauth:token-type:access_token"}
)
"""What `token_type` or `typ` may say, in lower case: a refresh token is active too, and no access token."""


class Said(msgspec.Struct, frozen=True):
    """What the issuer said."""

    claims: Mapping[str, Any]
    """Without `active`, which was true."""
    asked_at: float
    """Seconds since 1970."""
    size: int
    """Octets of the answer."""


def read_answer(body: bytes) -> Mapping[str, Any] | None:
    """The claims of an active token; None when it is not active. Raises `MalformedError` for anything in between."""
    if len(body) > MAXIMUM_ANSWER:
        raise MalformedError(f"it is longer than {MAXIMUM_ANSWER} octets")
    answer = read_object(body)
    active = answer.pop("active", None)
    if active is False:
        return None
    if active is not True:
        raise MalformedError("its `active` is neither true nor false")
    return answer


def accept_said(
    said: Said, digest: bytes, issuer: str, expected: Expected, *, cache: float, client_as_subject: bool
) -> Token | Refusal:
    """The token that an issuer knows, if what it said of it is complete, about itself, for us and of the time asked.

    Args:
        said: what it said.
        digest: SHA-256 of the token.
        issuer: who was asked.
        expected: what its tokens must say.
        cache: seconds that its word counts, and with it a token without `exp`.
        client_as_subject: a token without `sub` is that of its client.
    """
    claims = dict(said.claims)
    if "iss" in claims and claims["iss"] != issuer:
        return Refusal(Reason.TOKEN_ISSUER_UNKNOWN, cause=f"{issuer} answered about a token of another issuer")
    if refusal := no_access_token(claims):
        return refusal
    if client_as_subject and "sub" not in claims and "client_id" in claims:
        claims["sub"] = claims["client_id"]
    if "exp" not in claims:
        claims["exp"] = said.asked_at + cache
    unsigned = UnverifiedToken(
        digest=digest,
        algorithm="",
        key_id=None,
        kind=OPAQUE,
        issuer=issuer,
        svid_issuer=None,
        claims=claims,
        signed=b"",
        signature=b"",
    )
    token = accept(unsigned, None, expected, said.asked_at)
    return token if isinstance(token, Refusal) else msgspec.structs.replace(token, claims=said.claims)


def confirm(said: Said, token: Token, issuer: str) -> Refusal | None:
    """Why a signed token does not count by what its issuer says of it now; None when it does."""
    claims = said.claims
    if claims.get("iss", issuer) != issuer:
        return Refusal(Reason.TOKEN_ISSUER_UNKNOWN, cause=f"{issuer} answered about a token of another issuer")
    for name in ("sub", "jti", "cnf", "client_id"):
        if name in claims and name in token.claims and claims[name] != token.claims[name]:
            cause = f"{issuer} says another `{name}` of the token than it signed"
            return Refusal(Reason.TOKEN_INACTIVE, cause=cause)
    if "cnf" in claims and "cnf" not in token.claims:
        # Bound since it was signed, or the answer is about another one: what is signed cannot be held against it.
        return Refusal(Reason.TOKEN_BINDING_MISMATCH, cause=f"{issuer} says that the token is bound, which it does not")
    return no_access_token(claims)


def no_access_token(claims: Mapping[str, Any]) -> Refusal | None:
    """A refusal when the issuer calls it something else than an access token."""
    for name in ("token_type", "typ"):
        said = claims.get(name)
        if said is not None and (not isinstance(said, str) or said.lower() not in _ACCESS):
            return Refusal(Reason.TOKEN_TYPE_REFUSED, f"Its issuer says by `{name}` that it is no access token.")
    return None
