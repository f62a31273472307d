"""Accepting connections on a bound socket, and ending both in an orderly way."""

import asyncio
import socket
import time
from collections.abc import Callable, Collection
from pathlib import Path

from ztproxy import model
from ztproxy.config.edge import Connections
from ztproxy.config.values import TcpAddress
from ztproxy.edge.admission import USERS, Admission
from ztproxy.edge.binding import BACKLOG, BindError, bind_socket
from ztproxy.edge.contexts import Contexts
from ztproxy.edge.forwarded import Networks
from ztproxy.edge.proxied import Proxied
from ztproxy.edge.tls import Describe, TlsWire
from ztproxy.edge.trust import judged, judged_anew
from ztproxy.edge.wire import Application, PlainWire, SocketWire

__all__ = ["BindError", "Listener", "bind_socket"]


class Listener:
    """A bound socket, what it serves, and its open connections.

    Args:
        sock: from `bind_socket`.
        name: the address as configured.
        application: makes the application of each connection.
        contexts: for https; None serves plaintext.
        describe: reads a verified chain (`identity/`); needed with client certificates.
        on_handshake_failed: told of each TLS handshake that did not come about.
        admission: how many connections may be open; by default as many as the settings' defaults say.
        balancers: networks of those who begin with a PROXY header, and who alone may connect; None: nobody does.
        wall: the clock, seconds since 1970.
        shared: others listen on the socket too: the file of a Unix socket is not ours to remove.
        users: who alone may connect to a Unix socket, by number; anyone when empty.
    """

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        application: Callable[[], Application],
        *,
        contexts: Contexts | None = None,
        describe: Describe | None = None,
        on_handshake_failed: Callable[[model.HandshakeFailed], None] = lambda _failed: None,
        admission: Admission | None = None,
        balancers: Networks | None = None,
        wall: Callable[[], float] = time.time,
        shared: bool = False,
        users: Collection[int] = (),
    ) -> None:
        if contexts is not None and contexts.asks and describe is None:
            raise ValueError("client certificates are asked for, and nobody reads them")
        self.name = name
        self.application = application
        self.handshake_failed = on_handshake_failed
        self.admission = admission or Admission(Connections())
        self.handshake_timeout = self.admission.limits.handshake_timeout
        self.wall = wall
        self._socket = sock
        self._contexts = contexts
        self._describe = describe
        self._balancers = balancers
        self._users = frozenset(users)
        self._live: set[SocketWire | Proxied] = set()
        self.accepted = 0
        """Connections, since it was made."""
        self.completed = 0
        """TLS handshakes, likewise."""
        self._empty = asyncio.Event()
        self._empty.set()
        self._server: asyncio.AbstractServer | None = None
        self._path, self._inode = _file_of(sock)
        self._shared = shared
        bound = sock.getsockname()
        self.port: int = bound[1] if isinstance(bound, tuple) else 0
        """The port that it really listens on, also for port 0; 0 for a Unix socket."""
        self.address = str(TcpAddress(bound[0], bound[1])) if isinstance(bound, tuple) else f"unix:{bound}"
        """Where it really listens."""

    @property
    def open(self) -> int:
        """How many connections are open, handshakes included."""
        return len(self._live)

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self._contexts is not None

    @property
    def contexts(self) -> Contexts:
        """What TLS shows and asks for."""
        if self._contexts is None:
            raise ValueError("a plaintext listener has no TLS contexts")
        return self._contexts

    def shown(self, chain: tuple[bytes, ...], /) -> model.Certificate | model.Refusal | None:
        """The client certificate, read; judged by the trust of now: it may have changed since the handshake began."""
        certificate = None
        if chain:
            if self._describe is None:
                raise ValueError("nobody reads client certificates here")
            certificate = self._describe(chain)
        return judged(certificate, self.contexts)

    def renew(
        self,
        application: Callable[[], Application],
        contexts: Contexts | None,
        on_handshake_failed: Callable[[model.HandshakeFailed], None],
    ) -> None:
        """Serve new connections by a newer configuration. Open ones go on; `judged_anew` says what they are now."""
        if (contexts is None) != (self._contexts is None):
            raise ValueError("plaintext and TLS are different listeners")
        self.application = application
        self.handshake_failed = on_handshake_failed
        self._contexts = contexts

    def admit(self, limits: Connections, trusted: Networks, users: Collection[int] = ()) -> None:
        """Bound connections by a newer configuration; those that are open count as they did."""
        self.admission.renew(limits, trusted)
        self._users = frozenset(users)
        self.handshake_timeout = limits.handshake_timeout

    def judged_anew(self, connection: model.Connection) -> model.Connection:
        """An open connection under the listener's present trust."""
        return judged_anew(connection, self._contexts)

    async def start(self) -> None:
        """Listen and serve.

        Raises:
            BindError: another socket, bound at the same moment, listens there already.
        """
        try:
            self._socket.listen(BACKLOG)  # the event loop would not say that it failed
        except OSError as wrong:
            raise BindError(f"cannot listen on {self.name}: {wrong.strerror or wrong}") from None
        loop = asyncio.get_running_loop()
        factory = self._factory(loop)
        if self._path is not None:
            self._server = await loop.create_unix_server(factory, sock=self._socket, backlog=BACKLOG)
        else:
            self._server = await loop.create_server(factory, sock=self._socket, backlog=BACKLOG)

    def _factory(self, loop: asyncio.AbstractEventLoop) -> Callable[[], SocketWire | Proxied]:
        """What makes the protocol of a connection: chosen here, once."""
        wire: Callable[[], SocketWire] = (
            (lambda: PlainWire(loop, self)) if self._contexts is None else (lambda: TlsWire(loop, self))
        )
        balancers = self._balancers
        return wire if balancers is None else lambda: Proxied(loop, self, balancers, wire)

    def stop_accepting(self) -> None:
        """Accept no more; open connections go on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._socket.close()
        if not self._shared and self._path is not None and _inode_of(self._path) == self._inode:
            self._path.unlink(missing_ok=True)
        self._path = None

    async def wait_empty(self) -> None:
        """Until no connection is open."""
        await self._empty.wait()

    def close(self) -> None:
        """Accept no more and abort every connection."""
        self.stop_accepting()
        for wire in tuple(self._live):
            wire.abort()

    # -- what its connections tell it

    def opened(self, wire: SocketWire) -> bool:
        """A connection was accepted; False: there is no room for it."""
        self._live.add(wire)
        self._empty.clear()
        if wire.seat is None:
            self.accepted += 1
            if self._users and wire.user() not in self._users:
                return self.admission.refuse(USERS)
            wire.seat = self.admission.enter()
        return wire.seat is not None and wire.seat.claim(wire.peer.address)

    def arrived(self, connection: Proxied) -> None:
        """A connection was accepted that has yet to say for whom."""
        self.accepted += 1
        self._live.add(connection)
        self._empty.clear()

    def left(self, connection: Proxied) -> None:
        """It is gone, or a wire by now."""
        self._live.discard(connection)
        if not self._live:
            self._empty.set()

    def handshake_completed(self) -> None:
        """A TLS handshake came about."""
        self.completed += 1

    def gone(self, wire: SocketWire) -> None:
        """It is no more."""
        self._live.discard(wire)
        if wire.seat is not None:
            wire.seat.leave()
            wire.seat = None
        if not self._live:
            self._empty.set()


def _inode_of(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except OSError:
        return None


def _file_of(sock: socket.socket) -> tuple[Path | None, int | None]:
    if sock.family != getattr(socket, "AF_UNIX", None):
        return None, None
    path = Path(str(sock.getsockname()))
    return path, _inode_of(path)
