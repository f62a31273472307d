"""`ztproxy run`."""

import argparse
import asyncio
import sys
from pathlib import Path

from ztproxy.cli.common import COULD_NOT, file_or_exit

_TEXT = """\
run the proxy: SIGTERM drains, SIGINT stops, a second one stops at once, SIGHUP reloads, SIGUSR1 reopens log files"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's."""
    parser = commands.add_parser("run", help="run the proxy", description=_TEXT)
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: $ZTPROXY_CONFIG, else ztproxy.yaml")
    parser.add_argument("--policy", type=Path, metavar="DIR", help="policy directory, in place of policy.path")
    parser.add_argument(
        "--workers", type=_workers, metavar="N", help="processes that serve, or auto: one for each usable core"
    )
    parser.set_defaults(run=run)


def _workers(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def run(arguments: argparse.Namespace) -> int:
    """Check everything, then serve until told to stop."""
    from ztproxy.workers.plan import Source  # noqa: PLC0415 - takes a while to load; Ctrl-C is heeded already
    from ztproxy.workers.start import CannotStartError, start  # noqa: PLC0415 - likewise

    source = Source(file_or_exit(arguments), arguments.policy, arguments.workers)
    try:
        return asyncio.run(start(source))
    except CannotStartError as wrong:
        print(*wrong.problems, sep="\n", file=sys.stderr)
        return COULD_NOT
