"""`ztproxy status`: what the running proxy says of itself."""

import argparse
import http
import sys

import msgspec

from ztproxy.cli.asking import add_arguments, admin_or_exit
from ztproxy.cli.common import COULD_NOT, DONE, FOUND
from ztproxy.config.values import Address

_TEXT = """\
show what the running proxy does and what it rests on. Exit codes: 0 all is well, 1 it names problems, 2 nobody could be
asked"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's."""
    parser = commands.add_parser("status", help="show how the running proxy is", description=_TEXT)
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask the running proxy that a configuration names."""
    address, token = admin_or_exit(arguments)
    return show(address, token, as_json=arguments.json)


def show(address: Address, token: str | None = None, *, as_json: bool = False) -> int:
    """Print the status of whoever answers there; the exit code."""
    from ztproxy.admin.client import UnreachableError, ask  # noqa: PLC0415 - errors of the configuration come first
    from ztproxy.cli.status_text import lines  # noqa: PLC0415
    from ztproxy.observe.fleet import FORMAT, FleetStatus  # noqa: PLC0415

    try:
        code, content = ask(address, "GET", "/status", token=token)
        if code != http.HTTPStatus.OK:
            raise UnreachableError(f"{address}: answered {code}")  # noqa: TRY301 - told like one that cannot be reached
        status = msgspec.json.decode(content, type=FleetStatus)
    except (UnreachableError, msgspec.DecodeError) as wrong:
        print(f"ztproxy: no status: {wrong}", file=sys.stderr)
        return COULD_NOT
    if status.format != FORMAT:
        print(f"ztproxy: no status: of another version's form, {status.format}", file=sys.stderr)
        return COULD_NOT
    if as_json:
        print(content.decode())
    else:
        print(*lines(status), sep="\n")
    return FOUND if status.problems else DONE
