"""Connections of a listener with `proxy_protocol`: the header first, from those who may send it, then all as ever."""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from ztproxy import model
from ztproxy.edge.admission import Admission, Seat
from ztproxy.edge.forwarded import Networks, read_peer
from ztproxy.edge.proxy_header import ProxyHeader, read_header
from ztproxy.edge.wire import SocketPeer, SocketWire, peer_of


class ProxiedEndpoint(Protocol):
    """What reading a header needs to know of the listener."""

    name: str
    admission: Admission
    handshake_timeout: float
    """Seconds for the header."""

    def arrived(self, connection: "Proxied", /) -> None:
        """A connection is open that is no wire yet."""

    def left(self, connection: "Proxied", /) -> None:
        """It is gone, or a wire by now."""

    def handshake_failed(self, failed: model.HandshakeFailed, /) -> None:
        """Tell the operator."""

    def wall(self) -> float:
        """Seconds since 1970."""


class Proxied(asyncio.Protocol):
    """Reads the header, and then hands the connection over to a wire.

    Args:
        trusted: who may send one; whoever else connects is closed before anything is read.
        wire: makes the wire that goes on.
    """

    _transport: asyncio.Transport
    _peer: SocketPeer

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: ProxiedEndpoint,
        trusted: Networks,
        wire: Callable[[], SocketWire],
    ) -> None:
        self._loop = loop
        self._endpoint = endpoint
        self._trusted = trusted
        self._wire = wire
        self._seat: Seat | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._read = b""
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peer = peer_of(transport)
        self._endpoint.arrived(self)
        if not read_peer(self._peer.address, self._trusted).trusted:
            self._fail("the PROXY protocol is spoken here, and this peer is not in `trusted_proxies`")
            return
        self._seat = self._endpoint.admission.enter()
        if self._seat is None:
            self.abort()
            return
        self._timer = self._loop.call_later(self._endpoint.handshake_timeout, self._late)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._read += data
        header = read_header(self._read)
        if isinstance(header, str):
            self._fail(header)
        elif header is not None:
            self._hand_over(header)

    def eof_received(self) -> bool:
        """Half a header, or none: a balancer that looks whether somebody listens."""
        if self._read and not self._ended:
            self._fail("the connection ended within the PROXY header")
        return False

    def connection_lost(self, _cause: Exception | None) -> None:
        self._end()
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.leave()
        self._endpoint.left(self)

    def abort(self) -> None:
        """End at once."""
        self._end()
        self._transport.abort()

    def _hand_over(self, header: ProxyHeader) -> None:
        self._end()
        wire = self._wire()
        wire.seat, self._seat = self._seat, None
        wire.relayed = header
        rest, self._read = self._read[header.size :], b""
        self._transport.set_protocol(wire)
        wire.connection_made(self._transport)
        self._endpoint.left(self)
        if rest:
            wire.data_received(rest)

    def _late(self) -> None:
        self._fail("no PROXY header in time")

    def _fail(self, cause: str) -> None:
        self._endpoint.handshake_failed(
            model.HandshakeFailed(
                wall=self._endpoint.wall(),
                listener=self._endpoint.name,
                peer=self._peer.address,
                peer_port=self._peer.port,
                server_name=None,
                cause=cause,
            )
        )
        self.abort()

    def _end(self) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
