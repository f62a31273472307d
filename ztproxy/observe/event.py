"""A decision as an event in OPA's own decision-log format, without what it must not tell.

See https://www.openpolicyagent.org/docs/management-decision-logs. Header and query values that the policy does not read
are replaced; `masked` lists them as JSON pointers (RFC 6901), as OPA's own masking does. Claims are kept.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from ztproxy.model import Admitted, Authorized, Decision, Outcome, Refused
from ztproxy.observe.plain import whole

Path = tuple[str, ...]
MASK = "**MASKED**"
_NEVER = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
"""No stage lets these into the input; if one ever did, they would still not be written."""


class Recorded(msgspec.Struct, frozen=True):
    """A row of the decision log."""

    request_id: str
    time: float
    """Seconds since 1970."""
    allow: bool
    route: str
    event: bytes
    """JSON."""


class _Event(msgspec.Struct, frozen=True):
    labels: Mapping[str, str]
    decision_id: str
    revision: str
    path: str
    input: Any
    result: msgspec.Raw
    timestamp: str
    metrics: Mapping[str, int]
    requested_by: str
    masked: Any = msgspec.UNSET
    erased: Any = msgspec.UNSET


def decided(outcome: Outcome) -> tuple[Authorized | Admitted, Decision] | None:
    """The request and the decision in an outcome that carries one."""
    if isinstance(outcome, Authorized):
        return outcome, outcome.decision
    if isinstance(outcome, Refused) and outcome.refusal.decision is not None and isinstance(outcome.at, Admitted):
        return outcome.at, outcome.refusal.decision
    return None


def recorded(
    at: Authorized | Admitted,
    decision: Decision,
    *,
    timestamp: str,
    path: str,
    labels: Mapping[str, str],
    reads: Collection[Path],
) -> Recorded:
    """Make the row.

    Args:
        at: the request.
        decision: what the policy said about it.
        timestamp: of the request, RFC 3339.
        path: the entrypoint.
        labels: what tells this proxy from others.
        reads: places in the input whose values may be told, since the policy reads them: `("request", "headers",
            "x-role")`; a shorter path means everything below it.
    """
    arrived = at.arrived
    document, masked, erased = _input(decision.document, reads)
    event = _Event(
        labels=labels,
        decision_id=arrived.request_id,
        revision=decision.revision,
        path=path,
        input=document,
        result=msgspec.Raw(decision.result),
        timestamp=timestamp,
        metrics={"timer_rego_query_eval_ns": round(decision.duration * 1e9)},
        requested_by=arrived.source,
        masked=masked or msgspec.UNSET,
        erased=erased or msgspec.UNSET,
    )
    return Recorded(arrived.request_id, arrived.wall, decision.allow, at.route, _encode(event))


def _encode(event: _Event) -> bytes:
    """JSON; without the input where that holds what JSON has no room for."""
    try:
        return msgspec.json.encode(event)
    except (OverflowError, RecursionError):
        return msgspec.json.encode(msgspec.structs.replace(event, input=None, masked=msgspec.UNSET, erased=["/input"]))


def _input(document: bytes, reads: Collection[Path]) -> tuple[Any, list[str], list[str]]:
    """The input with values masked; what cannot be read is left out whole rather than told unmasked."""
    try:
        value = _decode(document)
        request = value["request"]
        masked = []
        for section in ("headers", "query"):
            masked += _mask(request[section], section, reads)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None, [], ["/input"]
    return value, masked, []


def _decode(document: bytes) -> Any:
    """The document; lone surrogates, which a client may hope to hide behind, are replaced."""
    try:
        return msgspec.json.decode(document)
    except msgspec.DecodeError:
        return whole(json.loads(document))


def _mask(values: dict[str, Any], section: str, reads: Collection[Path]) -> list[str]:
    masked = []
    for name, found in values.items():
        path = ("request", section, name)
        told = any(path[: len(read)] == read for read in reads)
        if not told or (section == "headers" and name.lower() in _NEVER):
            values[name] = [MASK] * len(found)
            masked.append(f"/input/request/{section}/{name.replace('~', '~0').replace('/', '~1')}")
    return masked
