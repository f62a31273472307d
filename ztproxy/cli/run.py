"""`ztproxy run`."""

import argparse
import sys
from pathlib import Path

from ztproxy.cli.common import COULD_NOT, placed, settings_or_exit


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's."""
    text = "run the proxy: SIGTERM drains, SIGINT stops, a second one stops at once, SIGUSR1 reopens log files"
    parser = commands.add_parser("run", help="run the proxy", description=text)
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: $ZTPROXY_CONFIG, else ztproxy.yaml")
    parser.add_argument("--policy", type=Path, metavar="DIR", help="policy directory, in place of policy.path")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check everything, then serve until told to stop."""
    settings, path = settings_or_exit(arguments)
    from ztproxy.serve import StartError, serve  # noqa: PLC0415 - its parts take a while to load; errors come first

    try:
        return serve(settings)
    except StartError as wrong:
        print(*(placed(problem, path) for problem in wrong.problems), sep="\n", file=sys.stderr)
        return COULD_NOT
