"""Asking the running proxy over its admin socket, with the standard library alone: a command starts at once."""

import http.client
import socket

from ztproxy.config.values import Address, UnixAddress

TIMEOUT = 10.0
"""Seconds."""


class UnreachableError(Exception):
    """Nobody answers there; the message says where, and why."""


class _OverUnixSocket(http.client.HTTPConnection):
    """HTTP to a socket's file."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(
    address: Address,
    method: str,
    path: str,
    content: bytes = b"",
    *,
    token: str | None = None,
    timeout: float = TIMEOUT,
) -> tuple[int, bytes]:
    """One request; the status and the content of its answer.

    Args:
        address: of the admin socket.
        method: GET, or POST for what changes something.
        path: what is asked for.
        content: sent along, with POST.
        token: for a TCP address.
        timeout: seconds for the answer.

    Raises:
        UnreachableError: there was no answer.
    """
    if isinstance(address, UnixAddress):
        if not hasattr(socket, "AF_UNIX"):
            raise UnreachableError(f"{address}: this system's Python has no Unix sockets; use a TCP address")
        connection: http.client.HTTPConnection = _OverUnixSocket(str(address.path), timeout)
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        connection.request(method, path, content or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as wrong:
        raise UnreachableError(f"{address}: {getattr(wrong, 'strerror', None) or wrong}") from None
    finally:
        connection.close()
