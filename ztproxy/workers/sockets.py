"""The listening sockets: owned here from the first worker to the last, so that no queued connection is ever reset."""

import socket
from collections.abc import Sequence
from pathlib import Path

from ztproxy.config.values import Address, TcpAddress, UnixAddress
from ztproxy.edge.binding import BACKLOG, BindError, bind_socket


class Sockets:
    """Listening sockets by configured address.

    Args:
        handed_over: sockets that a service manager bound for us, each with a name.
    """

    def __init__(self, handed_over: Sequence[tuple[str, socket.socket]] = ()) -> None:
        self._handed_over = list(handed_over)
        self._open: dict[str, socket.socket] = {}
        self._names: dict[str, str] = {}
        """Names of the handed-over ones in use."""
        self._files: dict[str, tuple[Path, int]] = {}

    def bind(self, addresses: Sequence[Address]) -> list[str]:
        """Listen on those addresses that nothing listens on yet; returns them.

        Raises:
            BindError: one cannot be listened on; then none is that was not before.
        """
        bound: list[str] = []
        try:
            for address in addresses:
                if str(address) not in self._open:
                    self._open[str(address)] = self._listening(address)
                    bound.append(str(address))
        except BindError:
            self.release(bound)
            raise
        return bound

    def _listening(self, address: Address) -> socket.socket:
        for given in self._handed_over:
            if _means(*given, address):
                self._handed_over.remove(given)
                self._names[str(address)] = given[0]
                given[1].listen(BACKLOG)
                return given[1]
        sock = bind_socket(address)
        if isinstance(address, UnixAddress):
            self._files[str(address)] = (address.path, address.path.lstat().st_ino)
        try:
            sock.listen(BACKLOG)
        except OSError as wrong:
            sock.close()
            raise BindError(f"cannot listen on {address}: {wrong.strerror or wrong}") from None
        return sock

    def of(self, addresses: Sequence[str]) -> list[socket.socket]:
        """The sockets of these addresses."""
        return [self._open[address] for address in addresses]

    def release(self, addresses: Sequence[str]) -> None:
        """Listen there no more; what the workers still have open they close themselves.

        A handed-over one is kept for a later configuration: whoever handed it over goes on listening.
        """
        for address in addresses:
            sock = self._open.pop(address)
            if address in self._names:
                self._handed_over.append((self._names.pop(address), sock))
                continue
            sock.close()
            path, inode = self._files.pop(address, (None, 0))
            if path is not None and _inode_of(path) == inode:
                path.unlink(missing_ok=True)

    def keep_only(self, addresses: Sequence[str]) -> None:
        """Let go of all others."""
        self.release([address for address in self._open if address not in addresses])

    @property
    def unused(self) -> list[str]:
        """Handed-over sockets that no listener is configured for."""
        return [f"{name or 'unnamed'} ({_written(sock)})" for name, sock in self._handed_over]


def _means(name: str, sock: socket.socket, address: Address) -> bool:
    """Whether a handed-over socket is the listener's: by where it is bound, or by its name, which is the port."""
    if sock.type != socket.SOCK_STREAM:
        return False
    bound = sock.getsockname()
    if isinstance(address, TcpAddress) and name == str(address.port):
        return True
    if isinstance(address, UnixAddress):
        return isinstance(bound, str) and bound == str(address.path)
    return isinstance(bound, tuple) and TcpAddress(*bound[:2]) == address


def _written(sock: socket.socket) -> str:
    bound = sock.getsockname()
    return str(TcpAddress(*bound[:2])) if isinstance(bound, tuple) else f"unix:{bound}"


def _inode_of(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except OSError:
        return None
