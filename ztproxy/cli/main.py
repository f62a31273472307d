"""The command line: `ztproxy COMMAND`. Exit 0: done, 1: it found something, 2: it could not run."""

import argparse
from collections.abc import Sequence

import ztproxy
from ztproxy.cli import config, demo, policy, run
from ztproxy.cli.common import DONE

_DESCRIPTION = """\
A zero-trust HTTPS access proxy: verifies client certificates and OIDC tokens, asks OPA policies and token buckets about
every request, and forwards what is authorised."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = parser().parse_args(argv)
    code: int = arguments.run(arguments)
    return code


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    made = argparse.ArgumentParser(prog="ztproxy", description=_DESCRIPTION, allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"ztproxy {ztproxy.__version__}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (run, demo, config, policy):
        module.register(commands)
    version = commands.add_parser("version", help="print the versions of the program, its engine and its TLS library")
    version.set_defaults(run=_version)
    return made


def _version(_: argparse.Namespace) -> int:
    import platform  # noqa: PLC0415 - needed here alone
    import ssl  # noqa: PLC0415

    from ztproxy.policy.library import library  # noqa: PLC0415

    print(f"ztproxy {ztproxy.__version__}")
    print(f"OPA {library().version()['opa']} · {ssl.OPENSSL_VERSION} · Python {platform.python_version()}")
    return DONE
