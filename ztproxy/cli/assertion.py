"""`ztproxy assertion keys` and `ztproxy assertion rotate`."""

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path

from ztproxy.cli.common import DONE, FOUND, CannotRunError, settings_or_exit
from ztproxy.config.assertions import Assertion

_KEYS = """\
the keys that assertions are signed with: which one signs now, which wait, and until when old ones are published"""
_ROTATE = """\
make the next key in the directory `assertion.keys`, and remove those whose last assertion is over. A reload publishes
it; it signs later, when upstreams have it. With a shared directory every node sees it, and needs a reload too"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the program's."""
    parser = commands.add_parser("assertion", help="the keys that upstreams verify assertions with", description=_KEYS)
    below = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    keys = below.add_parser("keys", help="list them", description=_KEYS)
    keys.add_argument("--jwks", action="store_true", help="its own key set, for another node's `published`")
    keys.set_defaults(run=run_keys)
    rotate = below.add_parser("rotate", help="make the next one", description=_ROTATE)
    rotate.add_argument("--ahead", metavar="DURATION", help="until it signs; default: three times assertion.key_cache")
    rotate.add_argument(
        "--compromised", action="store_true", help="remove all keys at once, and sign with a new one after a reload"
    )
    rotate.set_defaults(run=run_rotate)
    for command in (keys, rotate):
        command.add_argument("--config", type=Path, metavar="FILE", help="default: $ZTPROXY_CONFIG, else ztproxy.yaml")
        command.add_argument("--json", action="store_true", help="as JSON")
        command.set_defaults(policy=None)


def run_keys(arguments: argparse.Namespace) -> int:
    """List the keys; none is made."""
    assertion = _assertion(arguments)
    from ztproxy.upstream.files import UnusableFileError  # noqa: PLC0415 - errors of the configuration come first
    from ztproxy.upstream.key_ring import Kept, load_ring, over, ring_of  # noqa: PLC0415 - likewise
    from ztproxy.upstream.signing_key import load  # noqa: PLC0415 - likewise

    now = time.time()
    try:
        kept = ring_of(assertion.keys) if assertion.keys is not None else [Kept(float("-inf"), assertion.single)]
        if not kept:
            raise CannotRunError(f"{assertion.keys}: no key was made yet; `ztproxy run` makes the first")
        known = [(one, load(one.path).kid) for one in kept]
        if arguments.jwks:
            # Not what others publish here: it would come back to them, and stay when they have long removed it.
            print(load_ring(assertion.model_copy(update={"published": ()}), now).jwks.decode())
            return DONE
    except UnusableFileError as wrong:
        raise CannotRunError(str(wrong)) from None
    ended = set(over(kept, now, assertion))
    signing = max((one for one in kept if one.signs_from <= now), default=kept[0])
    rows = [
        {
            "kid": kid,
            "signs_from": None if one.signs_from == float("-inf") else _time(one.signs_from),
            "state": "signs"
            if one == signing
            else "waits"
            if one > signing
            else "over"
            if one in ended
            else "published",
            "file": str(one.path),
        }
        for one, kid in known
    ]
    if arguments.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print(f"{row['kid']}  {row['state']:<9}  {row['signs_from'] or 'the beginning':<20}  {row['file']}")
    return DONE


def run_rotate(arguments: argparse.Namespace) -> int:
    """Make the next key, and say by when every node must have it."""
    assertion = _assertion(arguments)
    from ztproxy.config.values import parse_duration  # noqa: PLC0415 - errors of the configuration come first
    from ztproxy.upstream.files import UnusableFileError  # noqa: PLC0415 - likewise
    from ztproxy.upstream.rotating import RotationError, replace, rotate  # noqa: PLC0415 - likewise

    now = time.time()
    try:
        ahead = None if arguments.ahead is None else parse_duration(arguments.ahead)
        made = replace(assertion, now) if arguments.compromised else rotate(assertion, now, ahead)
    except RotationError as wrong:
        print(f"ztproxy: no key was made: {wrong}")
        return FOUND
    except (UnusableFileError, ValueError) as wrong:
        raise CannotRunError(f"ztproxy: no key was made: {wrong}") from None
    told = {
        "kid": made.kid,
        "file": str(made.path),
        "signs_from": _time(made.signs_from),
        "reload_before": _time(made.reload_before),
        "removed": [str(path) for path in made.removed],
    }
    if arguments.json:
        print(json.dumps(told))
        return DONE
    print(f"made {made.kid} in {made.path}, which signs from {told['signs_from']}")
    for path in made.removed:
        print(f"removed {path}")
    if arguments.compromised:
        print("now: `ztproxy reload` on every node, and have upstreams forget the keys that they know")
    else:
        print(f"now: `ztproxy reload` on every node, before {told['reload_before']}")
    return DONE


def _assertion(arguments: argparse.Namespace) -> Assertion:
    settings, path = settings_or_exit(arguments)
    if settings.assertion is None:
        raise CannotRunError(f"{path}: no `assertion` section, so nothing is signed for upstreams")
    return settings.assertion


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
