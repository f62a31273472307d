"""`ztproxy policy eval`: one input document, the policy's answer, and how the proxy would read it."""

import argparse
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ztproxy.cli.common import DONE, FOUND, CannotRunError
from ztproxy.cli.policy_meant import Meant, ask, meant, say_errors
from ztproxy.model import Reason
from ztproxy.policy.decision import Malformed, Verdict, read
from ztproxy.policy.reference import example_document
from ztproxy.policy.schema import complete, misfit

_PROBLEMS = {
    "undefined": Reason.POLICY_UNDEFINED,
    "error": Reason.POLICY_ERROR,
    "timeout": Reason.POLICY_TIMEOUT,
}


def declare(action: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    action.add_argument("input", metavar="INPUT", help="file with the input document as JSON, - for standard input")
    action.add_argument(
        "--explain",
        nargs="?",
        const="fails",
        choices=["fails", "notes", "full"],
        help="which rules were looked at, which were true, and a trace: what failed (default), notes, or all of it",
    )
    action.add_argument("--now", type=_instant, metavar="TIME", help="what time.now_ns() says, RFC 3339; default: now")
    action.set_defaults(run=evaluate)


def evaluate(arguments: argparse.Namespace) -> int:
    """Exit 0 when the proxy would let the request pass, 1 when it would refuse it."""
    policy = meant(arguments)
    document, remarks = _document(arguments.input)
    now_ns = arguments.now if arguments.now is not None else time.time_ns()
    answer = ask(policy.request("explain", input=document, now_ns=now_ns, trace=arguments.explain or "fails"))
    if answer["errors"]:
        say_errors(answer["errors"], policy.directory)
        raise CannotRunError(f"{policy.directory}: the policy cannot be evaluated")
    value = msgspec.json.encode(answer["value"]) if answer["status"] == "ok" else None
    reading = _reading(value, answer, policy, document)
    for remark in remarks:
        print(remark, file=sys.stderr)
    if arguments.json:
        print(json.dumps(_told(reading, answer, remarks, explain=arguments.explain is not None), indent=2))
    else:
        _print(reading, answer)
        if arguments.explain is not None:
            _print_explanation(answer, policy.directory)
    return DONE if isinstance(reading, Verdict) and reading.allow else FOUND


def _instant(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(f"{text}: {wrong}") from None
    if instant.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text}: a time needs its zone, as in 2026-09-01T12:00:00+02:00")
    return round(instant.timestamp() * 1e6) * 1000


def _document(source: str) -> tuple[dict[str, Any], list[str]]:
    """The input document, completed; what was missing or is not as the schema says is remarked upon, not refused."""
    try:
        text = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        given = msgspec.json.decode(text)
    except OSError as wrong:
        raise CannotRunError(f"{source}: {wrong.strerror}") from None
    except (ValueError, RecursionError) as wrong:
        raise CannotRunError(f"{source}: no JSON: {wrong}") from None
    if not isinstance(given, dict):
        raise CannotRunError(f"{source}: the input document is an object")
    whole, missing = complete(given)
    remarks = [f"{source}: not given, so null: {', '.join(missing)}"] if missing else []
    if wrong_part := misfit(_over(given, msgspec.json.decode(example_document()))):
        remarks.append(f"{source}: a real request never has this: {wrong_part}")
    return whole, remarks


def _over(given: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The given document with the example's values where it has none, so that only what was given can misfit."""
    whole = {**example, **given}
    for name, value in given.items():
        inner = example.get(name)
        if isinstance(value, dict) and isinstance(inner, dict) and name not in {"claims", "query", "headers"}:
            whole[name] = _over(value, inner)
    return whole


def _reading(
    value: bytes | None, answer: dict[str, Any], policy: Meant, document: dict[str, Any]
) -> Verdict | Malformed | Reason:
    if value is None:
        return _PROBLEMS.get(answer["status"], Reason.POLICY_ERROR)
    if policy.settings is not None:
        named = (document["request"] or {}).get("route")
        routes = [route for route in policy.settings.routes if route.name == named]
        declared = frozenset(name.lower() for route in routes for name in route.policy_headers)
    else:  # no configuration says what is declared: whatever the decision sets counts as it
        headers = answer["value"].get("headers") if isinstance(answer["value"], dict) else None
        declared = frozenset(str(name).lower() for name in headers) if isinstance(headers, dict) else frozenset()
    return read(value, declared)


def _outcome(reading: Verdict | Malformed | Reason) -> str:
    match reading:
        case Verdict(allow=True):
            return "allowed"
        case Verdict():
            return Reason.POLICY_DENIED.word
        case Malformed():
            return Reason.POLICY_MALFORMED.word
        case Reason():
            return reading.word


def _cause(reading: Verdict | Malformed | Reason, answer: dict[str, Any]) -> str:
    match reading:
        case Malformed():
            return reading.cause
        case Reason():
            return str(answer.get("message") or reading.title)
        case Verdict():
            return ""


def _told(
    reading: Verdict | Malformed | Reason, answer: dict[str, Any], remarks: list[str], *, explain: bool
) -> dict[str, Any]:
    read_as = reading if isinstance(reading, Verdict) else Verdict(allow=False)
    told = {
        "outcome": _outcome(reading),
        "decision": answer.get("value"),
        "reasons": read_as.reasons,
        "headers": {name.decode(): value.decode() for name, value in read_as.headers},
        "max_age": read_as.max_age,
        "cause": _cause(reading, answer),
        "revision": answer["revision"],
        "remarks": remarks,
    }
    return told | ({part: answer[part] for part in ("rules", "trace", "truncated")} if explain else {})


def _print(reading: Verdict | Malformed | Reason, answer: dict[str, Any]) -> None:
    print(f"decision  {json.dumps(answer.get('value'), ensure_ascii=False) if answer['status'] == 'ok' else 'none'}")
    print(f"outcome   {_outcome(reading)}")
    if cause := _cause(reading, answer):
        print(f"cause     {cause}")
    if isinstance(reading, Verdict):
        for reason in reading.reasons:
            print(f"reason    {reason}")
        for name, text in reading.headers:
            print(f"sets      {name.decode()}: {text.decode()}")
        if reading.max_age is not None:
            print(f"max_age   {reading.max_age:g} s")
    print(f"revision  {answer['revision']}")


def _print_explanation(answer: dict[str, Any], directory: Path) -> None:
    print("\nrules, in the order in which they were looked at:")
    for rule in answer["rules"]:
        place = f"{directory / rule['file']}:{rule['row']}:{rule['col']}"
        print(f"  {'true ' if rule['true'] else 'false'}  {rule['rule']}  {place}")
    if answer["trace"]:
        print(f"\n{answer['trace'].rstrip()}")
    if answer["truncated"]:
        print("(the trace was longer; this is its beginning)")
