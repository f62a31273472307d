"""`ztproxy policy deps`: what a policy reads, whether its decisions can be remembered, and what keeps them from it."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ztproxy.cli.common import DONE, FOUND, CannotRunError
from ztproxy.cli.policy_meant import Meant, ask, meant, say_errors
from ztproxy.policy.places import Place, Places, looked_at

CLOCK = "time.now_ns"
_FRESH: dict[Place, str] = {
    ("request", "id"): "is another for each request",
    ("source", "port"): "is another for each connection",
}
"""Places whose value hardly ever comes again."""
_WIDE: dict[Place, str] = {
    ("request", "headers"): "every field counts, the browser's too",
    ("request", "query"): "every parameter counts",
    ("token",): "no two tokens are alike, so each has decisions of its own",
    ("token", "claims"): "no two tokens are alike (jti, iat, exp), so each has decisions of its own",
    ("token", "issued_at"): "each token has decisions of its own",
    ("token", "expires_at"): "each token has decisions of its own",
    ("certificate",): "each certificate has decisions of its own",
}
"""Places that tell apart more than a rule usually means to."""


_PRESENCE = {
    "input.token": " (input.token.subject alone tells whether there is one)",
    "input.certificate": " (input.certificate.fingerprint alone tells whether there is one)",
}


class Advice(NamedTuple):
    """Something about a read that keeps decisions from being remembered, or from being shared."""

    read: str
    why: str
    instead: str
    prevents: bool
    """Hardly any decision will ever be asked for again."""


def declare(action: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    action.epilog = (
        "Exit codes: 0 decisions can be remembered, 1 something prevents it, 2 the policy cannot be compiled."
    )
    action.set_defaults(run=deps)


def deps(arguments: argparse.Namespace) -> int:
    """Exit 0 when decisions can be remembered, 1 when something prevents it."""
    policy = meant(arguments)
    answer = ask(policy.request("deps"))
    if answer["errors"]:
        say_errors(answer["errors"], policy.directory)
        raise CannotRunError(f"{policy.directory}: the policy cannot be compiled")
    about = answer["about"]
    advice = list(advise(frozenset(map(tuple, about["places"])), answer["input"]))
    prevented = bool(about["unrepeatable"]) or any(one.prevents for one in advice)
    if arguments.json:
        print(json.dumps(_told(answer, advice), indent=2))
    else:
        _print(policy, answer, advice)
    return FOUND if prevented else DONE


def advise(places: Places, uses: list[dict[str, Any]]) -> Iterator[Advice]:
    """What is worth saying about the places that a policy looks at; `uses` says where it does."""
    if () in places:
        yield Advice(
            "input", "holds input.request.id, so no question comes twice", _instead("input", uses), prevents=True
        )
        return
    if ("request",) in places:
        why = "holds input.request.id, so no question comes twice"
        yield Advice("input.request", why, _instead("input.request", uses), prevents=True)
    elif ("source",) in places:
        why = "holds input.source.port, which is another for each connection"
        yield Advice("input.source", why, _instead("input.source", uses), prevents=True)
    for place, why in _FRESH.items():
        if looked_at(places, place) and place[:1] not in places:
            yield Advice(_dotted(place), why, "", prevents=True)
    for place, why in _WIDE.items():
        if place in places:
            read = _dotted(place)
            yield Advice(read, why, _instead(read, uses), prevents=False)


def _dotted(place: Place) -> str:
    return ".".join(("input", *place))


def _instead(read: str, uses: list[dict[str, Any]]) -> str:
    """The smaller reads that would do."""
    found = [use for use in uses if use["what"] == read]
    names = sorted({name for use in found for name in use.get("members", ())})
    if names and all(use.get("members") for use in found):
        return "read only " + ", ".join(f"{read}.{name}" for name in names)
    return f"read only the members that are meant: {read}.NAME{_PRESENCE.get(read, '')}"


def _told(answer: dict[str, Any], advice: list[Advice]) -> dict[str, Any]:
    about = answer["about"]
    return {
        "revision": about["revision"],
        "entrypoint": about["entrypoint"],
        "input": about["may_read"],
        "data": about["data"],
        "clock": about["clock"],
        "builtins": about["builtins"],
        "memo": not about["unrepeatable"],
        "unrepeatable": [use for use in answer["calls"] if use["what"] != CLOCK],
        "reads": answer["input"],
        "advice": [one._asdict() for one in advice],
    }


def _print(policy: Meant, answer: dict[str, Any], advice: list[Advice]) -> None:
    about, directory = answer["about"], policy.directory
    print(f"{directory}: {about['entrypoint']}, revision {about['revision']}")
    print("\nof the input it reads")
    for read in about["may_read"]:
        print(f"  {read}{_places(read, answer['input'], directory)}")
    if not about["may_read"]:
        print("  nothing")
    print("\nof the data it reads")
    print("\n".join(f"  {read}" for read in about["data"]) or "  nothing")
    print()
    if about["clock"]:
        print(f"the clock: {CLOCK}{_places(CLOCK, answer['calls'], directory)}; decisions last until its next step")
    for name in about["unrepeatable"]:
        print(f"nothing is remembered: {name} may answer otherwise{_places(name, answer['calls'], directory)}")
    if not about["unrepeatable"]:
        print("decisions are remembered, each for all that is read above")
    for one in advice:
        where = _places(one.read, answer["input"], directory)
        effect = "hardly any decision is asked for again" if one.prevents else "fewer decisions are shared"
        print(f"{effect}: {one.read} {one.why}{where}" + (f"\n  {one.instead}" if one.instead else ""))
    for remark in _remarks(policy):
        print(remark)


def _remarks(policy: Meant) -> Iterator[str]:
    if policy.settings is not None and policy.settings.policy.engine == "server":
        yield "with engine: server nothing is remembered, whatever the policy reads"
    elif policy.settings is not None and policy.settings.policy.memo == "off":
        yield "policy.memo is off: nothing is remembered"


def _places(what: str, uses: list[dict[str, Any]], directory: Path) -> str:
    """Where something is used, in brackets; the first few places."""
    found = [f"{directory / use['file']}:{use['row']}" for use in uses if _is(use["what"], what) and use["file"]]
    listed = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")  # noqa: PLR2004 - enough to find it
    return f"  ({listed})" if found else ""


def _is(used: str, what: str) -> bool:
    """Whether a reference is at a place or below it."""
    return used == what or used.startswith((f"{what}.", f"{what}["))
