"""What several commands share: exit codes, and reading the configuration that is meant."""

import argparse
import os
import sys
from pathlib import Path

from ztproxy.config.loading import ConfigError, find, load, placed
from ztproxy.config.settings import Settings

__all__ = ["COULD_NOT", "DONE", "FOUND", "CannotRunError", "file_or_exit", "placed", "settings_or_exit"]

DONE, FOUND, COULD_NOT = 0, 1, 2

_NO_CONFIGURATION = """\
ztproxy: no configuration. It has to say where to listen, with which certificate, and which servers are behind.
  ztproxy config init      writes a starting ztproxy.yaml and policy into this folder
  ztproxy demo             runs a whole example on this machine
Then: ztproxy run --config ztproxy.yaml [--policy DIR]   (or set ZTPROXY_CONFIG)"""


class CannotRunError(SystemExit):
    """The command could not run; what was wrong has been said on standard error."""

    def __init__(self, message: str) -> None:
        print(message, file=sys.stderr)
        super().__init__(COULD_NOT)


def file_or_exit(arguments: argparse.Namespace) -> Path:
    """The configuration that is meant; ends the program with 2 where there is none."""
    path = find(arguments.config, os.environ, Path.cwd())
    if path is None:
        raise CannotRunError(_NO_CONFIGURATION)
    return path


def settings_or_exit(arguments: argparse.Namespace) -> tuple[Settings, Path]:
    """The configuration that `--config`, the environment or the working directory names, with `--policy` applied."""
    path = file_or_exit(arguments)
    try:
        return load(path, arguments.policy), path
    except ConfigError as wrong:
        raise CannotRunError(str(wrong)) from None
