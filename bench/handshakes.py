"""What a full handshake with both certificates costs ztproxy, and where: in memory, client and kernel not counted.

OpenSSL's part any server pays; the rest is ours.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import parts
import peers
from memory import Client
from parts import Part

from ztproxy.edge import http1, tls, wire
from ztproxy.edge.contexts import Contexts, EdgeTls
from ztproxy.edge.listener import Listener

PARTS = (
    Part("OpenSSL: making the connection's object", Contexts, "wrap"),
    Part("taking a place among the connections", Listener, "opened"),
    Part("asking the socket who is there", wire, "peer_of"),
    Part("OpenSSL: the handshake, the choice by server name in it", EdgeTls, "do_handshake"),
    Part("taking the chain from OpenSSL", tls, "chain_of"),
    Part("reading the certificate, judging its authority", Listener, "shown"),
    Part("beginning HTTP", http1.Http1, "connected"),
    Part("ending HTTP", http1.Http1, "lost"),
    Part("giving the place up", Listener, "gone"),
)


class _Counted(asyncio.Protocol):
    """The server's side of one connection, and the seconds that all of it takes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: Listener) -> None:
        self.spent = 0.0
        self._inner: asyncio.Protocol
        self._count(lambda: setattr(self, "_inner", tls.TlsWire(loop, listener)))

    def _count(self, do: Callable[[], None]) -> None:
        began = time.perf_counter()
        do()
        self.spent += time.perf_counter() - began

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._count(lambda: self._inner.connection_made(transport))

    def data_received(self, data: bytes) -> None:
        self._count(lambda: self._inner.data_received(data))

    def connection_lost(self, cause: Exception | None) -> None:
        self._count(lambda: self._inner.connection_lost(cause))


def _connect(here: peers.Site, listener: Listener, number: int) -> float:
    """The seconds of one connection that asks nothing."""
    server = _Counted(asyncio.get_running_loop(), listener)
    Client(here, server, number, "").connect()
    server.connection_lost(None)
    return server.spent


def whole(here: peers.Site, listener: Listener, rounds: int) -> float:
    """Give the microseconds of a connection that asks nothing, in the lower quartile, without a clock inside."""
    return parts.quartile([_connect(here, listener, number) for number in range(rounds)]) * 1e6


def by_parts(here: peers.Site, listener: Listener, rounds: int) -> Mapping[str, float]:
    """Give the microseconds of each part, likewise."""
    spent = []
    with parts.timed(PARTS) as clock:
        for number in range(rounds):
            _connect(here, listener, number)
            spent.append(clock.read())
    return parts.quartiles(spent)
