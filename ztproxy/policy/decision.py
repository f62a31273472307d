"""The strict reading of what a policy answered: what is not exactly a decision is none.

A decision is a bare boolean or `{"allow": bool}` with, optionally, `reasons`, `max_age`, `headers` and `step_up`.
Anything else, be it a string "true", a null, an empty object or a key that nobody knows, is `policy-malformed` (and
refused).
"""

import math
import re
from collections import OrderedDict

import msgspec

from ztproxy.config.believed import fold, is_ours
from ztproxy.model import Fields, StepUp

MAXIMUM_RESULT = 128 * 1024
"""Octets of JSON; a larger result is not even parsed."""
MAXIMUM_REASONS = 64
MAXIMUM_REASON = 4096
MAXIMUM_REASONS_TOGETHER = 32 * 1024
MAXIMUM_HEADERS = 32
MAXIMUM_HEADER_VALUE = 4096
MAXIMUM_ACR_VALUES = 8
MAXIMUM_ACR_VALUE = 256
SHORTEST_AGE, LONGEST_AGE = 10, 10 * 365 * 86400
"""Seconds: a login that is too old as soon as it is made could never do."""
_KEPT = 256
_KEPT_SIZE = 4096

# C0 and C1 controls, line separators and the bidirectional controls that make text read as what it is not.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_FORBIDDEN = frozenset(
    {
        # framing and hop-by-hop (RFC 9110 §7.6.1, RFC 9112 §6)
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # the request's own, and the proxy's to pass on or to keep out
        "authorization",
        "cookie",
        "host",
    }
)
_FORBIDDEN_PREFIXES = ("proxy-", "sec-websocket-")


class Verdict(msgspec.Struct, frozen=True):
    """A decision as the policy gave it, read strictly; `max_age` in seconds."""

    allow: bool
    reasons: tuple[str, ...] = ()
    headers: Fields = ()
    max_age: float | None = None
    step_up: StepUp | None = None


class Malformed(msgspec.Struct, frozen=True):
    """Why a result is no decision, for the operator."""

    cause: str


class _StepUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    acr_values: tuple[str, ...] = ()
    max_age: int | msgspec.UnsetType = msgspec.UNSET


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    allow: bool
    reasons: tuple[str, ...] = ()
    max_age: float | msgspec.UnsetType = msgspec.UNSET
    headers: dict[str, str] = {}
    limit: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    step_up: _StepUp | msgspec.UnsetType = msgspec.UNSET


_decode = msgspec.json.Decoder(bool | _Answer).decode


class Readings:
    """Reads results, and keeps the last readings: the same few results come again and again.

    A reading says what octets mean, not that anyone may do anything, so it needs no end.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, frozenset[str]], Verdict | Malformed] = OrderedDict()

    def read(self, result: bytes, declared: frozenset[str]) -> Verdict | Malformed:
        """As the function `read`."""
        if len(result) > _KEPT_SIZE:
            return read(result, declared)
        key = (result, declared)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= _KEPT:
                self._kept.popitem(last=False)
            kept = self._kept[key] = read(result, declared)
        return kept


def read(result: bytes, declared: frozenset[str]) -> Verdict | Malformed:
    """The decision that a result, JSON, is.

    Args:
        result: the value at the entrypoint.
        declared: names, in lower case, that the route's `policy_headers` let a decision set.
    """
    if len(result) > MAXIMUM_RESULT:
        return Malformed(f"the result has {len(result)} octets, more than {MAXIMUM_RESULT}")
    try:
        answer = _decode(result)
    except (ValueError, RecursionError) as wrong:  # msgspec's errors and invalid UTF-8 are ValueErrors
        return Malformed(f"the result is no decision: {wrong}")
    if isinstance(answer, bool):
        return Verdict(answer)
    if answer.limit is not msgspec.UNSET:
        return Malformed("the decision holds `limit`, which this version of ztproxy cannot meet")
    max_age = None if answer.max_age is msgspec.UNSET else answer.max_age
    if max_age is not None and not (math.isfinite(max_age) and max_age >= 0):
        return Malformed("`max_age` is no number of seconds from 0 up")
    if cause := _wrong_reasons(answer.reasons):
        return Malformed(cause)
    headers = _fields(answer.headers, declared)
    if isinstance(headers, Malformed):
        return headers
    step_up = None if answer.step_up is msgspec.UNSET else _step_up(answer.step_up)
    if isinstance(step_up, Malformed):
        return step_up
    return Verdict(answer.allow, answer.reasons, headers, max_age, step_up)


def _step_up(asked: _StepUp) -> StepUp | Malformed:
    max_age = None if asked.max_age is msgspec.UNSET else asked.max_age
    if not asked.acr_values and max_age is None:
        return Malformed("`step_up` names neither `acr_values` nor `max_age`")
    if max_age is not None and not SHORTEST_AGE <= max_age <= LONGEST_AGE:
        return Malformed(f"`step_up.max_age` is no number of seconds from {SHORTEST_AGE} to {LONGEST_AGE}")
    if len(asked.acr_values) > MAXIMUM_ACR_VALUES:
        return Malformed(f"`step_up` names {len(asked.acr_values)} `acr_values`, more than {MAXIMUM_ACR_VALUES}")
    for value in asked.acr_values:
        # They stand between quotes in WWW-Authenticate, separated by spaces (RFC 9470 §3).
        if not re.fullmatch(r"[!#-\[\]-~]+", value) or len(value) > MAXIMUM_ACR_VALUE:
            return Malformed("one of `step_up.acr_values` is no short word of printable ASCII")
    return StepUp(asked.acr_values, max_age)


def may_be_set(name: str) -> bool:
    """Whether a policy can be let set a field of this lower-case name: none that frames, none that is ours."""
    return (
        name not in _FORBIDDEN
        and not name.startswith(_FORBIDDEN_PREFIXES)
        and "_" not in name
        and not is_ours(fold(name.encode()))
    )


def _wrong_reasons(reasons: tuple[str, ...]) -> str | None:
    if len(reasons) > MAXIMUM_REASONS:
        return f"{len(reasons)} reasons, more than {MAXIMUM_REASONS}"
    together = 0
    for reason in reasons:
        size = len(reason.encode())
        together += size
        if size > MAXIMUM_REASON:
            return f"a reason has {size} octets, more than {MAXIMUM_REASON}"
        if _CONTROL.search(reason):
            return "a reason holds control characters"
    if together > MAXIMUM_REASONS_TOGETHER:
        return f"the reasons have {together} octets in all, more than {MAXIMUM_REASONS_TOGETHER}"
    return None


def _fields(headers: dict[str, str], declared: frozenset[str]) -> Fields | Malformed:
    if len(headers) > MAXIMUM_HEADERS:
        return Malformed(f"{len(headers)} headers, more than {MAXIMUM_HEADERS}")
    fields: dict[str, str] = {}
    for given, value in headers.items():
        name = given.lower()
        if name not in declared or not may_be_set(name):
            return Malformed(f"the decision sets the header {given[:64]!r}, which `policy_headers` does not declare")
        if name in fields:
            return Malformed(f"the decision sets the header {name!r} twice")
        if len(value) > MAXIMUM_HEADER_VALUE or not re.fullmatch("[\x20-\x7e]*", value) or value != value.strip():
            return Malformed(f"the value of the header {name!r} is no short, printable ASCII text")
        fields[name] = value
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in fields.items())
