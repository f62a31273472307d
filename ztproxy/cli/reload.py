"""`ztproxy reload`."""

import argparse
import http
import sys

import msgspec

from ztproxy.cli.asking import add_arguments, admin_or_exit
from ztproxy.cli.common import COULD_NOT, DONE, FOUND

TIMEOUT = 300.0
"""Seconds: a reload takes as long as its policy takes to compile."""
_TEXT = """\
have the running proxy take up its configuration, certificates, revocation lists and policy: all in all workers, or
nothing. Exit codes: 0 it serves by them, 1 something is wrong with them and nothing changed, 2 nobody could be asked"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's."""
    parser = commands.add_parser("reload", help="have the running proxy take up changed files", description=_TEXT)
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask, and say how it went."""
    address, token = admin_or_exit(arguments)
    from ztproxy.admin.client import UnreachableError, ask  # noqa: PLC0415 - errors of the configuration come first
    from ztproxy.admin.fleet import Reloaded  # noqa: PLC0415 - likewise

    try:
        code, content = ask(address, "POST", "/reload", token=token, timeout=TIMEOUT)
        if code not in {http.HTTPStatus.OK, http.HTTPStatus.CONFLICT}:
            raise UnreachableError(f"{address}: answered {code}")  # noqa: TRY301 - told like one that cannot be reached
        made = msgspec.json.decode(content, type=Reloaded)
    except (UnreachableError, msgspec.DecodeError) as wrong:
        print(f"ztproxy: no reload: {wrong}", file=sys.stderr)
        return COULD_NOT
    if arguments.json:
        print(content.decode())
    elif made.problems:
        print(*made.problems, sep="\n", file=sys.stderr)
        print("nothing has changed: what served before serves on", file=sys.stderr)
    else:
        print(f"reloaded: generation {made.generation}, policy revision {made.revision[:12]}")
    return FOUND if made.problems else DONE
