"""`ztproxy issuers list` and `ztproxy issuers refresh`."""

import argparse
import http
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from ztproxy.cli.asking import add_arguments, admin_or_exit
from ztproxy.cli.common import COULD_NOT, DONE, FOUND
from ztproxy.cli.tables import aligned, plain
from ztproxy.config.values import Address

if TYPE_CHECKING:
    from ztproxy.admin.fleet import IssuersRefreshed
    from ztproxy.identity.issuers.refreshing import Refreshed

TIMEOUT = 60.0
"""Seconds: a fetch under way is waited for, and then the one that was asked for."""
_ISSUERS = "identity providers whose tokens are understood: what is known of them"
_LIST = """\
show the running proxy's issuers: how many keys each has, how old they are, and how long they count while it is away.
Exit codes: 0 all can be reached, 1 one cannot, 2 nobody could be asked"""
_REFRESH = """\
have every worker ask issuers for their keys now, and wait for the answers. A key that an issuer has withdrawn is gone
at once, with the tokens that it verified and the streams that rest on them; what it said of opaque tokens is asked
anew. Exit codes: 0 all answered, 1 one did not, and what was known of it stays in use, 2 nobody could be asked"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the program's."""
    parser = commands.add_parser("issuers", help=_ISSUERS, description=_ISSUERS)
    below = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    listed = below.add_parser("list", help="show what is known of each", description=_LIST)
    listed.set_defaults(run=run_list)
    refresh = below.add_parser("refresh", help="ask them for their keys now", description=_REFRESH)
    refresh.add_argument("issuer", nargs="?", metavar="ISSUER", help="this one alone, as `issuers` names it")
    refresh.set_defaults(run=run_refresh)
    for command in (listed, refresh):
        add_arguments(command)
        command.add_argument("--json", action="store_true", help="as JSON")


def run_list(arguments: argparse.Namespace) -> int:
    """Ask for the status, and show its part about issuers."""
    address, token = admin_or_exit(arguments)
    from ztproxy.admin.client import UnreachableError, ask  # noqa: PLC0415 - errors of the configuration come first
    from ztproxy.cli.status_text import issuer_lines  # noqa: PLC0415 - likewise
    from ztproxy.observe.fleet import FORMAT, FleetStatus  # noqa: PLC0415 - likewise

    try:
        code, content = ask(address, "GET", "/status", token=token)
        _expect(code, address, http.HTTPStatus.OK)
        status = msgspec.json.decode(content, type=FleetStatus)
    except (UnreachableError, msgspec.DecodeError) as wrong:
        print(f"ztproxy: no issuers: {wrong}", file=sys.stderr)
        return COULD_NOT
    if status.format != FORMAT:
        print(f"ztproxy: no issuers: of another version's form, {status.format}", file=sys.stderr)
        return COULD_NOT
    if arguments.json:
        print(msgspec.json.encode(status.issuers).decode())
    else:
        print(*issuer_lines(status), sep="\n")
    return FOUND if any(one.failures or one.fetched_at is None for one in status.issuers) else DONE


def run_refresh(arguments: argparse.Namespace) -> int:
    """Have the issuers asked, and show what came of it."""
    address, token = admin_or_exit(arguments)
    from ztproxy.admin.client import UnreachableError, ask  # noqa: PLC0415 - errors of the configuration come first
    from ztproxy.admin.fleet import IssuersRefreshed  # noqa: PLC0415 - likewise

    path = "/issuers/refresh" + ("" if arguments.issuer is None else f"?issuer={quote(arguments.issuer, safe='')}")
    try:
        code, content = ask(address, "POST", path, token=token, timeout=TIMEOUT)
        if code == http.HTTPStatus.NOT_FOUND:
            print(f"ztproxy: {content.decode(errors='replace').strip()}", file=sys.stderr)
            return COULD_NOT
        _expect(code, address, http.HTTPStatus.OK, http.HTTPStatus.BAD_GATEWAY)
        made = msgspec.json.decode(content, type=IssuersRefreshed)
    except (UnreachableError, msgspec.DecodeError) as wrong:
        print(f"ztproxy: issuers were not asked: {wrong}", file=sys.stderr)
        return COULD_NOT
    if arguments.json:
        print(content.decode())
    else:
        print(*_lines(made), sep="\n")
    return FOUND if made.failed else DONE


def _expect(code: int, address: Address, *wanted: int) -> None:
    if code not in wanted:
        from ztproxy.admin.client import UnreachableError  # noqa: PLC0415 - loaded already

        raise UnreachableError(f"{address}: answered {code}")


def _lines(made: "IssuersRefreshed") -> Iterator[str]:
    """A row for each issuer, and for each answer that workers did not share."""
    found: dict[Refreshed, list[str]] = {}
    silent = [str(worker.worker) for worker in made.workers if worker.issuers is None]
    for worker in made.workers:
        for one in worker.issuers or ():
            found.setdefault(one, []).append(str(worker.worker))
    rows = [
        (
            one.issuer,
            ",".join(workers),
            f"{len(one.before)} -> {len(one.after)}",
            " ".join(one.removed) or "-",
            " ".join(one.added) or "-",
            "; ".join(one.failures) or "ok",
        )
        for one, workers in found.items()
    ]
    table = aligned([("ISSUER", "WORKERS", "KEYS", "REMOVED", "ADDED", "STATE"), *rows]) if rows else ("no issuers",)
    yield from (plain(line) for line in table)
    if silent:
        yield f"! these workers did not answer: {', '.join(silent)}"
    if not made.workers:
        yield "! no worker serves"
