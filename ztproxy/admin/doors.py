"""The admin socket and the health listener of one supervisor: bound at its start, gone with it."""

import contextlib
import socket

from aiohttp import web

from ztproxy.admin import health, steering
from ztproxy.admin.fleet import Steered
from ztproxy.admin.hosted import Hosted
from ztproxy.config import secrets
from ztproxy.config.settings import Settings
from ztproxy.config.values import Address, UnixAddress
from ztproxy.edge.binding import bind_socket

BACKLOG = 64
ADMIN_MODE = 0o600


async def open_doors(settings: Settings, fleet: Steered, until: contextlib.AsyncExitStack) -> list[str]:
    """Serve what is configured of both until the stack unwinds; where they really are, for the operator.

    Raises:
        BindError: an address cannot be listened on.
        LookupError, OSError: the admin socket's token cannot be read.
    """
    said = []
    if (admin := settings.admin) is not None:
        token = None if admin.token is None else secrets.read(admin.token)
        sock = _listening(admin.address, ADMIN_MODE, until)
        # The Host that is pinned has the port that was really bound.
        await _serve(steering.application(fleet, _bound(admin.address, sock), token), sock, steering.LIFETIME, until)
        said.append(f"admin on {_bound(admin.address, sock)}")
    if (asked := settings.health) is not None:
        sock = _listening(asked.address, 0o660, until)
        await _serve(health.application(fleet), sock, health.LIFETIME, until)
        said.append(f"health on {_bound(asked.address, sock)}")
    return said


def _listening(address: Address, mode: int, until: contextlib.AsyncExitStack) -> socket.socket:
    sock = bind_socket(address, mode)
    until.callback(sock.close)
    if isinstance(address, UnixAddress):
        until.callback(address.path.unlink, missing_ok=True)
    sock.listen(BACKLOG)
    return sock


def _bound(address: Address, sock: socket.socket) -> Address:
    return address if isinstance(address, UnixAddress) else address._replace(port=sock.getsockname()[1])


async def _serve(
    application: web.Application, sock: socket.socket, lifetime: float, until: contextlib.AsyncExitStack
) -> None:
    hosted = await Hosted.start(application, sock, lifetime)
    until.push_async_callback(hosted.close)
