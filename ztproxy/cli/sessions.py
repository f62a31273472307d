"""`ztproxy sessions list`, `revoke` and `rotate`: who is logged in, their sessions' ends, and the key ring."""

import argparse
import http
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from ztproxy.admin.sessions import Line, Lines, Listing, Revoked, Revoking
from ztproxy.cli.asking import add_arguments, admin_or_exit
from ztproxy.cli.common import COULD_NOT, DONE, FOUND, CannotRunError, settings_or_exit
from ztproxy.cli.tables import aligned, plain
from ztproxy.config.values import Address

_Told = TypeVar("_Told", Lines, Revoked)
TIMEOUT = 90.0
"""Seconds."""
_LIST = "show who is logged in: one line a session. Exit codes: 0 shown, 2 nobody could be asked"
_REVOKE = """\
end sessions, in all workers at once; open streams end within 2 seconds. On other machines that share the storage they
count for a second more. Exit codes: 0 ended, 1 there were none, or not all that were meant, 2 nobody could be asked"""
_ROTATE = """\
put a new first key into the key ring that sessions are sealed with (made if it is not there); the keys before it still
open what they sealed, unless fewer are kept. A reload takes it up: on all machines that share the ring. Exit codes: 0
done, 2 the ring cannot be read or written"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the program's."""
    parser = commands.add_parser("sessions", help="see and end browsers' sessions, rotate their keys")
    below = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    shown = below.add_parser("list", help="show who is logged in", description=_LIST)
    ended = below.add_parser("revoke", help="end sessions", description=_REVOKE)
    for command in (shown, ended):
        add_arguments(command)
        command.add_argument("--subject", metavar="SUBJECT", help="those of this `sub` alone")
        command.add_argument("--issuer", metavar="URL", help="those of this issuer alone")
        command.add_argument("--json", action="store_true", help="as JSON")
    ended.add_argument("name", nargs="?", metavar="NAME", help="of one session, as `list` shows it")
    ended.add_argument("--all", action="store_true", help="all sessions")
    shown.set_defaults(run=run_list)
    ended.set_defaults(run=run_revoke)
    rotated = below.add_parser("rotate", help="put a new first key into the ring", description=_ROTATE)
    rotated.add_argument("--config", type=Path, metavar="FILE", help="default: $ZTPROXY_CONFIG, else ztproxy.yaml")
    rotated.add_argument("--keys", type=Path, metavar="FILE", help="the ring, in place of the configuration's")
    rotated.add_argument(
        "--keep", type=_number, default=7, metavar="N", help="keys that still open (default 7); 0 ends all sessions"
    )
    rotated.set_defaults(run=run_rotate, policy=None)


def run_list(arguments: argparse.Namespace) -> int:
    """Show the sessions."""
    address, token = admin_or_exit(arguments)
    try:
        lines = list(_pages(address, token, Listing(arguments.subject, arguments.issuer)))
    except _NoAnswerError as wrong:
        print(f"ztproxy: no sessions: {wrong}", file=sys.stderr)
        return COULD_NOT
    if arguments.json:
        print(msgspec.json.encode(lines).decode())
        return DONE
    now = time.time()
    rows = [("NAME", "SUBJECT", "WHO", "HOST", "SINCE", "USED", "ENDS", "ISSUER"), *(_row(line, now) for line in lines)]
    print(*map(plain, aligned(rows)), sep="\n")
    return DONE


def run_revoke(arguments: argparse.Namespace) -> int:
    """End sessions."""
    if [bool(arguments.name), bool(arguments.subject), arguments.all].count(True) != 1:
        raise CannotRunError("ztproxy: say which sessions: NAME, --subject SUBJECT, or --all")
    address, token = admin_or_exit(arguments)
    wanted = Revoking(arguments.name, arguments.subject, arguments.issuer, arguments.all)
    try:
        revoked = _ask(address, token, "/sessions/revoke", wanted, Revoked)
    except _NoAnswerError as wrong:
        print(f"ztproxy: nothing revoked: {wrong}", file=sys.stderr)
        return COULD_NOT
    if arguments.json:
        print(msgspec.json.encode(revoked).decode())
    else:
        print(f"{revoked.ended} sessions ended" if revoked.ended != 1 else "1 session ended")
        if revoked.problem:
            print(f"ztproxy: not all: {revoked.problem}", file=sys.stderr)
    return DONE if revoked.ended and not revoked.problem else FOUND


def run_rotate(arguments: argparse.Namespace) -> int:
    """Put a new first key into the ring."""
    from ztproxy.store.ring import rotate  # noqa: PLC0415 - errors of the command line come first
    from ztproxy.store.unusable import StoreError  # noqa: PLC0415 - likewise

    path: Path = arguments.keys
    if path is None:
        settings, _ = settings_or_exit(arguments)
        path = settings.sessions.ring(settings.state)
    try:
        keys = rotate(path, arguments.keep)
    except StoreError as wrong:
        raise CannotRunError(f"ztproxy: not rotated: {wrong}") from None
    print(f"{path}: a new first key, {keys} in all; `ztproxy reload` takes it up")
    return DONE


class _NoAnswerError(Exception):
    """Nobody answered, or not with what was asked."""


def _ask(address: Address, token: str | None, path: str, wanted: Listing | Revoking, kind: type[_Told]) -> _Told:
    from ztproxy.admin.client import UnreachableError, ask  # noqa: PLC0415 - errors of the configuration come first

    try:
        code, content = ask(address, "POST", path, msgspec.json.encode(wanted), token=token, timeout=TIMEOUT)
        if code != http.HTTPStatus.OK:
            raise _NoAnswerError(f"{address}: answered {code}: {content[:200].decode('utf-8', 'replace').strip()}")
        return msgspec.json.decode(content, type=kind)
    except (UnreachableError, msgspec.DecodeError) as wrong:
        raise _NoAnswerError(str(wrong)) from None


def _pages(address: Address, token: str | None, wanted: Listing) -> Iterator[Line]:
    """All sessions that are wanted; one that changes meanwhile comes once."""
    seen: set[str] = set()
    while True:
        page = _ask(address, token, "/sessions", wanted, Lines)
        if page.problem:
            raise _NoAnswerError(page.problem)
        yield from (line for line in page.sessions if line.name not in seen)
        seen |= {line.name for line in page.sessions}
        if page.cursor is None:
            return
        wanted = msgspec.structs.replace(wanted, cursor=page.cursor)


def _row(line: Line, now: float) -> tuple[str, ...]:
    return (
        line.name,
        line.subject,
        line.display or "-",
        line.host,
        datetime.fromtimestamp(line.created_at, UTC).strftime("%Y-%m-%d %H:%M"),
        f"{max(0, int(now - line.used_at)) // 60} min ago",
        datetime.fromtimestamp(min(line.ends_at, line.idle_until), UTC).strftime("%Y-%m-%d %H:%M"),
        line.issuer,
    )


def _number(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 7:  # noqa: PLR2004 - a ring has eight keys
        raise ValueError("from 0 to 7")
    return number
