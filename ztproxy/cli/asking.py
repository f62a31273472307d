"""Where the running proxy can be asked: its admin socket, as the configuration says."""

import argparse
from pathlib import Path

from ztproxy.cli.common import CannotRunError, file_or_exit
from ztproxy.config import secrets
from ztproxy.config.loading import ConfigError, admin_of
from ztproxy.config.values import Address


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What says which configuration is meant."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: $ZTPROXY_CONFIG, else ztproxy.yaml")


def admin_or_exit(arguments: argparse.Namespace) -> tuple[Address, str | None]:
    """The admin socket and its token; the rest of the configuration may be wrong, or 2 would never be told why."""
    path = file_or_exit(arguments)
    try:
        admin = admin_of(path)
        token = None if admin is None or admin.token is None else secrets.read(admin.token)
    except (ConfigError, LookupError, OSError) as wrong:
        raise CannotRunError(str(wrong)) from None
    if admin is None:
        raise CannotRunError(
            f"{path}: no `admin` socket is configured: say admin: {{address: unix:/run/ztproxy/admin.sock}} and restart"
        )
    return admin.address, token
