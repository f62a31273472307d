"""The seam between bytes and HTTP, and the plaintext side of it.

An `Application` (HTTP) sees decrypted bytes and writes through a `Wire`; whether TLS lies below is not its concern.
Writes are gathered: what is written in one turn of the event loop leaves in one system call, because uvloop's
`transport.write` is a system call at once.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from ztproxy import model
from ztproxy.edge.admission import Seat
from ztproxy.edge.peer_user import user_of
from ztproxy.edge.proxy_header import ProxyHeader
from ztproxy.turn import turn_of

GATHERED = 65_536
"""Octets that may wait for the end of the turn; more leave at once, and the transport's own marks bound the rest."""
LINGER = 5.0
"""Seconds a closing connection may go without progress before it is aborted."""
LINGER_PERIODS = 12
"""How often `LINGER` may be granted anew to a client that reads slowly."""


class Wire(Protocol):
    """The way towards the client. Calls after the end are ignored; nothing raises, nothing blocks."""

    def write(self, data: bytes) -> None:
        """Send, together with whatever else is written in this turn of the loop."""

    def close(self) -> None:
        """End once everything written has gone out (close_notify for TLS); bounded in time, then abort."""

    def abort(self) -> None:
        """End at once; what is queued is dropped."""

    def unsent(self) -> int:
        """Octets that were written and that the client has not taken yet, as far as this process knows."""

    def pause_reading(self) -> None:
        """Hand over nothing more until `resume_reading`."""

    def resume_reading(self) -> None:
        """Go on handing over what the client sends."""

    def write_eof(self) -> None:
        """Nothing more will be written, but reading goes on; close_notify for TLS."""


class Application(Protocol):
    """What speaks HTTP over a `Wire`."""

    def connected(self, wire: Wire, connection: model.Connection) -> None:
        """Begin; over TLS, after the handshake."""

    def received(self, data: bytes) -> None:
        """Bytes from the client; never after `close` or `abort`."""

    def ended(self) -> None:
        """The client will send nothing more, and said so properly; it may still read."""

    def lost(self) -> None:
        """The connection is gone. Called exactly once if `connected` was."""

    def pause_writing(self) -> None:
        """The client reads too slowly: write no more than what is under way."""

    def resume_writing(self) -> None:
        """The client has caught up."""


class Endpoint(Protocol):
    """What a connection needs to know of the listener that accepted it."""

    name: str
    """The listener's address as configured."""

    def application(self) -> Application:
        """A new application for a new connection."""

    def opened(self, wire: "SocketWire") -> bool:
        """A connection was accepted; False: there is no room for it."""

    def gone(self, wire: "SocketWire") -> None:
        """It is no more."""


class SocketWire(asyncio.Protocol):
    """What both wires share: gathered writes, an orderly end, flow control.

    A connection that is closed first says that nothing more will come and reads on, discarding, until the client
    closes: closing with unread data would reset it, and the client would lose the answer (RFC 9112 §9.6).
    """

    __slots__ = (
        "_application", "_at_end", "_call_soon", "_closing", "_connected", "_deadline", "_endpoint", "_eof_received",
        "_eof_sent", "_loop", "_periods", "_queue", "_queued", "_reading", "_scheduled", "_transport", "_unsent",
        "peer", "relayed", "seat",
    )  # fmt: skip
    peer: "SocketPeer"
    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint) -> None:
        self._loop = loop
        self._call_soon: Callable[..., object] = loop.call_soon
        self._at_end = turn_of(loop).at_end
        self._endpoint = endpoint
        self._application: Application | None = None
        self._queue: list[bytes] = []
        self._queued = 0
        self._scheduled = False
        self._connected = False
        self._closing = False
        self._reading = True
        self._eof_sent = False
        self._eof_received = False
        self._deadline: asyncio.TimerHandle | None = None
        self._periods = LINGER_PERIODS
        self._unsent = 0
        self.seat: Seat | None = None
        """Its place among the listener's connections."""
        self.relayed: ProxyHeader | None = None
        """What a balancer in front said of the client; None where none is asked."""

    # -- Wire

    def write(self, data: bytes) -> None:
        if self._closing or self._eof_sent:
            return
        self._queue.append(data)
        self._queued += len(data)
        if self._queued > GATHERED:
            self._flush()
        elif not self._scheduled:
            self._scheduled = True
            self._at_end(self._end_of_turn)

    def close(self) -> None:
        if self._closing:
            return
        self._flush()
        self.write_eof()
        self._linger()

    def abort(self) -> None:
        self._closing = True
        self._queue.clear()
        self._transport.abort()

    def unsent(self) -> int:
        return self._queued + self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        if self._reading and not self._closing:
            self._reading = False
            if not self._eof_received:
                self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            if not self._eof_received:
                self._transport.resume_reading()

    def write_eof(self) -> None:
        if self._closing or self._eof_sent:
            return
        self._flush()
        self._eof_sent = True
        self._send_eof()

    def user(self) -> int | None:
        """The user at the other end of a Unix socket; None where the system does not say."""
        sock = self._transport.get_extra_info("socket")
        return None if sock is None else user_of(sock)

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer = peer_of(transport)
        if self.relayed is not None and self.relayed.address is not None:
            self.peer = SocketPeer(self.relayed.address, self.relayed.port, self.peer.local_port)
        if not self._endpoint.opened(self):
            self.abort()

    def connection_lost(self, _cause: Exception | None) -> None:
        self._closing = True
        self._queue.clear()
        self._endpoint.gone(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        application, self._application = self._application, None
        if self._connected and application is not None:
            application.lost()

    def pause_writing(self) -> None:
        if self._connected and self._application is not None:
            self._application.pause_writing()

    def resume_writing(self) -> None:
        if self._connected and self._application is not None:
            self._application.resume_writing()

    # -- inside

    def _anonymous(self) -> bool:
        """A balancer is in front, and does not say who the client is."""
        return self.relayed is not None and self.relayed.address is None

    def _greeted(self) -> None:
        """The handshake is over."""
        if self.seat is not None:
            self.seat.greeted()

    def _end_of_turn(self) -> None:
        self._scheduled = False
        if self._queue:
            self._flush()

    def _flush(self) -> None:
        """Hand what is gathered to the transport, in one piece."""
        queue = self._queue
        if queue:
            data = queue[0] if len(queue) == 1 else b"".join(queue)
            queue.clear()
            self._queued = 0
            self._send(data)

    def _send(self, data: bytes) -> None:
        self._transport.write(data)

    def _send_eof(self) -> None:
        """Shut our half once what was written is out."""
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _linger(self) -> None:
        """Wait, discarding, for the client to close; no longer than it makes progress."""
        self._closing = True
        transport = self._transport
        if transport.is_closing():
            return
        self._unsent = transport.get_write_buffer_size()
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(LINGER, self._lingered)
        if self._eof_received or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        if not self._reading:
            transport.resume_reading()

    def _lingered(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        self._periods -= 1
        if self._periods > 0 and 0 < unsent < self._unsent:
            self._unsent = unsent
            self._deadline = self._loop.call_later(LINGER, self._lingered)
        else:
            self._deadline = None
            self._transport.abort()


class SocketPeer(NamedTuple):
    """The other end of a connection: its address without scope, its port and ours; on a Unix socket, nothing."""

    address: str
    port: int
    local_port: int


def peer_of(transport: asyncio.BaseTransport) -> SocketPeer:
    """As the socket says."""
    peer = transport.get_extra_info("peername")
    local = transport.get_extra_info("sockname")
    if not (isinstance(peer, tuple) and isinstance(local, tuple)):
        return SocketPeer("", 0, 0)
    return SocketPeer(str(peer[0]).partition("%")[0], int(peer[1]), int(local[1]))


def nobody(_data: bytes) -> None:
    """Takes the place of the application once it is gone, so that it and its wire do not keep each other."""


class PlainWire(SocketWire):
    """Plaintext HTTP: a listener with `protocol: http`."""

    __slots__ = ("_received",)
    _received: Callable[[bytes], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._closing:
            return
        self._greeted()
        peer = self.peer
        application = self._application = self._endpoint.application()
        self._received = application.received
        self._connected = True
        application.connected(
            self,
            model.Connection(
                listener=self._endpoint.name,
                scheme="http",
                peer=peer.address,
                peer_port=peer.port,
                local_port=peer.local_port,
                anonymous=self._anonymous(),
            ),
        )

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        scheduled, self._scheduled = self._scheduled, True  # what is answered at once needs no turn of its own
        self._received(data)
        self._scheduled = scheduled
        if self._queue:
            self._flush()

    def connection_lost(self, cause: Exception | None) -> None:
        super().connection_lost(cause)
        self._received = nobody

    def eof_received(self) -> bool:
        """Keep our half open for the answer, unless we are closing too."""
        self._eof_received = True
        if self._closing or self._application is None:
            return False
        self._application.ended()
        return not self._closing
