"""Binding sockets: a step of its own, so that every socket is bound before any begins to serve.

Imports little: the process that owns the sockets serves nothing on them itself.
"""

import os
import socket
import stat
from pathlib import Path

from ztproxy.config.values import Address, TcpAddress, UnixAddress

BACKLOG = 4096
SOCKET_MODE = 0o660


class BindError(Exception):
    """An address cannot be listened on; the message says which and why."""


def bind_socket(address: Address, mode: int = SOCKET_MODE) -> socket.socket:
    """A bound socket that does not listen yet; the file of a Unix socket gets `mode`.

    Raises:
        BindError: the address is taken, not ours, or not allowed.
    """
    try:
        return _bind_unix(address.path, mode) if isinstance(address, UnixAddress) else _bind_tcp(address)
    except OSError as wrong:
        raise BindError(f"cannot listen on {address}: {wrong.strerror or wrong}") from None
    except UnicodeError:
        raise BindError(f"cannot listen on {address}: that is no host name") from None


def _bind_tcp(address: TcpAddress) -> socket.socket:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, target = min(found, key=lambda one: one[0] != socket.AF_INET)
    sock = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.settimeout(0)
        sock.bind(target)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: Path, mode: int) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode)
    try:
        sock.settimeout(0)
        sock.bind(str(path))
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def _remove_stale(path: Path) -> None:
    """Remove a socket's file that nobody answers at any more; anything else there is somebody's."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(0, "a file that is no socket is in the way")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise FileExistsError(0, "another process answers there")
