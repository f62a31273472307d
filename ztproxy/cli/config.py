"""`ztproxy config check|schema|show|init`."""

import argparse
import json
import sys
from importlib import resources
from pathlib import Path

from ztproxy.cli.common import COULD_NOT, DONE, FOUND, CannotRunError, file_or_exit, placed, settings_or_exit
from ztproxy.config import reference
from ztproxy.config.loading import ConfigError, load

_STARTING_FILES = {
    "ztproxy.yaml": "ztproxy.yaml",
    "authz.rego": "policies/authz.rego",
    "authz_test.rego": "policies/authz_test.rego",
}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's."""
    text = "check, describe or begin a configuration"
    parser = commands.add_parser("config", help=text, description=text)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, run, text in (
        ("check", check, "check a configuration and everything that it names, as run does, but bind no socket"),
        ("show", show, "print the effective values; secrets are never shown"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--config", type=Path, metavar="FILE", help="default: $ZTPROXY_CONFIG, else ztproxy.yaml")
        action.add_argument("--policy", type=Path, metavar="DIR", help="policy directory, in place of policy.path")
        action.add_argument("--json", action="store_true", help="as JSON")
        action.set_defaults(run=run)
    text = "print the JSON Schema of the configuration file, for editors"
    action = actions.add_parser("schema", help=text, description=text)
    action.add_argument("--markdown", action="store_true", help="as the Markdown of docs/configuration.md instead")
    action.set_defaults(run=schema)
    text = "write a starting configuration and policy into a folder; what is there already is never overwritten"
    action = actions.add_parser(
        "init", help="write a starting configuration and policy into a folder", description=text
    )
    action.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: this folder")
    action.set_defaults(run=init)


def check(arguments: argparse.Namespace) -> int:
    """Read a configuration, and build from it what `run` would, but for its sockets."""
    from ztproxy.check import check as check_parts  # noqa: PLC0415 - the server's parts are needed by this command alone

    path = file_or_exit(arguments)
    settings, warnings = None, list[str]()
    try:
        settings = load(path, arguments.policy)
    except ConfigError as wrong:
        problems, code = list(map(str, wrong.problems)), COULD_NOT
    else:
        found = check_parts(settings)
        problems, warnings = [placed(problem, path) for problem in found.problems], found.warnings
        code = FOUND if problems else DONE
    if arguments.json:
        print(json.dumps({"file": str(path), "problems": problems, "warnings": warnings}))
        return code
    for line in (*problems, *(f"{path}: warning: {warning}" for warning in warnings)):
        print(line, file=sys.stderr)
    if settings is not None and not problems:
        counts = _counted(len(settings.listeners), "listener"), _counted(len(settings.routes), "route")
        print(f"{path}: in order; {', '.join(counts)}")
    return code


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def show(arguments: argparse.Namespace) -> int:
    """Print the effective values."""
    settings, _ = settings_or_exit(arguments)
    print(json.dumps(settings.model_dump(mode="json"), indent=2) if arguments.json else reference.effective(settings))
    return DONE


def schema(arguments: argparse.Namespace) -> int:
    """Print the schema."""
    print(reference.markdown() if arguments.markdown else json.dumps(reference.schema(), indent=2))
    return DONE


def init(arguments: argparse.Namespace) -> int:
    """Write the starting files; none that exists is touched."""
    targets = {name: arguments.folder / target for name, target in _STARTING_FILES.items()}
    if there := [str(target) for target in targets.values() if target.exists()]:
        print(f"not overwritten: {', '.join(there)} there already; nothing was written", file=sys.stderr)
        return FOUND
    try:
        for name, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text((resources.files("ztproxy.config") / "starting" / name).read_text())
            print(f"wrote {target}")
    except OSError as wrong:
        raise CannotRunError(f"ztproxy: {wrong.filename}: {wrong.strerror}") from None
    print(f"Next: put your certificates where {targets['ztproxy.yaml']} says; then ztproxy config check; ztproxy run")
    return DONE
