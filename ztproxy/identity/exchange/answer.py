"""What a token endpoint answered to an exchange, strictly read (RFC 8693 §2.2, RFC 6749 §5)."""

import hmac
import re
from typing import Any

import msgspec

from ztproxy.identity.issuers.fetching import Answer
from ztproxy.identity.strict_json import MalformedError, read_object
from ztproxy.model import Reason, Refusal

TYPES = {
    "access_token": "urn:ietf:params:oauth:token-type:access_token",
    "jwt": "urn:ietf:params:oauth:token-type:jwt",
}
MAXIMUM_ISSUED = 16384
"""Octets of a token; upstreams take hardly more as a field."""
RETRY_AFTER = ((b"retry-after", b"5"),)
_OF_THE_CALLER = frozenset({"invalid_request", "invalid_grant", "access_denied"})
"""Errors that tell of the caller's token (RFC 8693 §2.2.2); all others tell of the route's configuration."""
_OK, _TOO_MANY, _SERVER_ERROR = 200, 429, 500
_FORBIDDEN, _BAD_GATEWAY, _UNAVAILABLE = 403, 502, 503
_LONGEST = 10 * 365 * 86400


class Issued(msgspec.Struct, frozen=True):
    """A token that was obtained."""

    token: bytes
    lifetime: float | None
    """Seconds; None where the issuer does not say: then it is used once."""


def read_answer(answer: Answer, requested: str, presented: bytes) -> Issued | Refusal:
    """The token, or why there is none.

    Args:
        answer: of the endpoint.
        requested: the type that was asked for; one of `TYPES`.
        presented: the caller's own token, which must not come back.

    Refuses with TOKEN_EXCHANGE_FAILED: 403 by the caller's token, 503 by the issuer's state, 502 by all else.
    """
    if answer.status == _TOO_MANY or answer.status >= _SERVER_ERROR:
        return unavailable(f"the issuer answered {answer.status}")
    try:
        members = read_object(answer.body) if answer.media_type == "application/json" else None
    except MalformedError as wrong:
        return _failed(f"the issuer answered {answer.status} with JSON that cannot be read: {wrong}")
    if members is None:
        return _failed(f"the issuer answered {answer.status} with something else than JSON")
    if answer.status != _OK:
        return _error(answer.status, members)
    objection = _objection(members, requested, presented)
    if objection is not None:
        return _failed(f"the issuer's answer is not as RFC 8693 has it: {objection}")
    lifetime = members.get("expires_in")
    return Issued(members["access_token"].encode("ascii"), None if lifetime is None else float(lifetime))


def unavailable(cause: str) -> Refusal:
    """The issuer cannot be had now."""
    return Refusal(Reason.TOKEN_EXCHANGE_FAILED, cause=cause, status_code=_UNAVAILABLE, fields=RETRY_AFTER)


def of_the_caller(cause: str) -> Refusal:
    """There is no token for this caller."""
    return Refusal(Reason.TOKEN_EXCHANGE_FAILED, cause=cause, status_code=_FORBIDDEN)


def _failed(cause: str) -> Refusal:
    return Refusal(Reason.TOKEN_EXCHANGE_FAILED, cause=cause, status_code=_BAD_GATEWAY)


def _error(status: int, members: dict[str, Any]) -> Refusal:
    """By the error's name; its description is the issuer's own text, and no log of ours is its to write."""
    name = members.get("error")
    if not isinstance(name, str) or not re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,64}", name):
        return _failed(f"the issuer answered {status} without an error")
    cause = f"the issuer answered {status} with {name}"
    if name in ("temporarily_unavailable", "server_error"):
        return unavailable(cause)
    return of_the_caller(cause) if name in _OF_THE_CALLER else _failed(cause)


def _objection(members: dict[str, Any], requested: str, presented: bytes) -> str | None:
    token, kind, lifetime = members.get("access_token"), members.get("token_type"), members.get("expires_in")
    if not isinstance(token, str) or not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token) or len(token) > MAXIMUM_ISSUED:
        return "`access_token` is no token that could be presented"
    if members.get("issued_token_type") != TYPES[requested]:
        return "`issued_token_type` is not what was asked for"
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return "`token_type` is not Bearer"
    if lifetime is not None and (
        isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 0 < lifetime <= _LONGEST
    ):
        return "`expires_in` is no number of seconds"
    if hmac.compare_digest(token.encode("ascii"), presented):
        return "the token is the caller's own"
    return None
