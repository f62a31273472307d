"""The command line: `ztproxy COMMAND`. Exit 0: done, 1: it found something, 2: it could not run, 130: interrupted."""

import argparse
import os
import sys
from collections.abc import Sequence

import ztproxy

# The commands load pydantic and more; they are imported where Ctrl-C and closed pipes are already taken care of.

_DESCRIPTION = """\
A zero-trust HTTPS access proxy: verifies client certificates and OIDC tokens, asks OPA policies and token buckets about
every request, and forwards what is authorised."""
_EXIT_CODES = "Exit codes: 0 done, 1 it found something wrong, 2 it could not run, 130 interrupted."
_COULD_NOT, _INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. A closed pipe, a full disk and Ctrl-C are no tracebacks."""
    try:
        arguments = parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read, as `head`, has enough
        _silence()
        return _COULD_NOT
    except OSError as wrong:  # commands say themselves what they cannot read; this is their own output
        _silence()
        print(
            f"ztproxy: {wrong.strerror or wrong}" + (f": {wrong.filename}" if wrong.filename else ""), file=sys.stderr
        )
        return _COULD_NOT
    return code


def _silence() -> None:
    """Let the interpreter's own flush at its end have nowhere to fail."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # no file beneath, as under a test
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    from ztproxy.cli import (  # noqa: PLC0415 - see above
        assertion,
        config,
        demo,
        issuers,
        policy,
        reload,
        run,
        sessions,
        status,
    )

    made = argparse.ArgumentParser(prog="ztproxy", description=_DESCRIPTION, epilog=_EXIT_CODES, allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"ztproxy {ztproxy.__version__}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (run, reload, status, issuers, sessions, demo, config, policy, assertion):
        module.register(commands)
    text = "print the versions of the program, its engine and its TLS library"
    version = commands.add_parser("version", help=text, description=text)
    version.add_argument("--json", action="store_true", help="as JSON")
    version.set_defaults(run=_version)
    return made


def _version(arguments: argparse.Namespace) -> int:
    import json  # noqa: PLC0415 - needed here alone
    import platform  # noqa: PLC0415
    import ssl  # noqa: PLC0415

    from ztproxy.policy.library import LibraryUnavailableError, library  # noqa: PLC0415

    try:
        opa = str(library().version()["opa"])
    except LibraryUnavailableError:
        opa = ""
    python = platform.python_version()
    if arguments.json:
        told = {"ztproxy": ztproxy.__version__, "opa": opa or None, "openssl": ssl.OPENSSL_VERSION, "python": python}
        print(json.dumps(told))
    else:
        print(f"ztproxy {ztproxy.__version__}")
        print(f"{f'OPA {opa}' if opa else 'no embedded OPA'} · {ssl.OPENSSL_VERSION} · Python {python}")
    return 0
