"""Which policy a `policy` command is about, and asking the library about it."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ztproxy.cli.common import CannotRunError, settings_or_exit
from ztproxy.config.loading import find
from ztproxy.config.policies import PolicySettings
from ztproxy.config.settings import Settings


class Meant(NamedTuple):
    """The policy that the command is about; `settings` is None when only a directory was named."""

    directory: Path
    entrypoint: str
    allow_builtins: tuple[str, ...]
    settings: Settings | None

    def request(self, command: str, **more: Any) -> dict[str, Any]:
        """What the library's tool is asked."""
        return {
            "command": command,
            "directory": str(self.directory),
            "entrypoint": self.entrypoint,
            "allow_builtins": self.allow_builtins,
            **more,
        }


def meant(arguments: argparse.Namespace) -> Meant:
    """The policy that `--policy` names, or the configuration; with only a directory, the defaults hold."""
    if arguments.policy is not None and find(arguments.config, os.environ, Path.cwd()) is None:
        policy = Meant(arguments.policy, PolicySettings().entrypoint, (), None)
    else:
        settings, _ = settings_or_exit(arguments)
        if settings.policy.path is None:
            raise CannotRunError("ztproxy: no policy directory: name one with --policy, or with `policy.path`")
        policy = Meant(settings.policy.path, settings.policy.entrypoint, settings.policy.allow_builtins, settings)
    if not policy.directory.is_dir():
        raise CannotRunError(f"{policy.directory}: no such directory")
    return policy


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """What the library answers; ends the program with 2 where there is none."""
    from ztproxy.policy.library import LibraryUnavailableError, library  # noqa: PLC0415 - 25 MB, for who needs it

    try:
        return library().tool(request)
    except LibraryUnavailableError as missing:
        raise CannotRunError(f"ztproxy: {missing}") from None


def say_errors(errors: list[dict[str, Any]], directory: Path) -> None:
    """Each as FILE:LINE:COLUMN: what, on standard error."""
    for error in errors:
        file = directory / error["file"] if error["file"] else directory
        place = ":".join([str(file), *(str(error[part]) for part in ("row", "col") if error[part])])
        print(f"{place}: {error['message']}", file=sys.stderr)
