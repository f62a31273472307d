"""What a full handshake with both certificates costs ztproxy, and where: in memory, client and kernel not counted.

Each part is timed in its place, as part of a whole connection: by itself in a loop it would find all it needs in the
processor's caches, and cost a fraction. OpenSSL's part any server pays; the rest is ours.
"""

import asyncio
import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar
from unittest import mock

import peers
from memory import Client

from ztproxy.edge import http1, tls, wire
from ztproxy.edge.contexts import Contexts, EdgeTls
from ztproxy.edge.listener import Listener

PARTS = (
    ("OpenSSL: the handshake, the server name's choice in it", EdgeTls, "do_handshake"),
    ("OpenSSL: making the connection's object", Contexts, "wrap"),
    ("taking the chain from OpenSSL", tls, "chain_of"),
    ("reading the certificate and judging its authority", Listener, "shown"),
    ("asking the socket who is there", wire, "peer_of"),
    ("taking a place among the connections", Listener, "opened"),
    ("beginning HTTP", http1.Http1, "connected"),
    ("ending HTTP", http1.Http1, "lost"),
    ("giving the place up", Listener, "gone"),
)
"""What it is, and where it is called from: none is called by another."""
Clock = dict[str, float]
T = TypeVar("T")


@contextlib.contextmanager
def _timed(spent: Clock) -> Iterator[None]:
    """Count what each part takes, in seconds of this thread's processor time."""

    def counting(name: str, do: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object) -> object:
            began = time.thread_time()
            try:
                return do(*arguments)
            finally:
                spent[name] += time.thread_time() - began

        return counted

    with contextlib.ExitStack() as stack:
        for name, where, attribute in PARTS:
            stack.enter_context(mock.patch.object(where, attribute, counting(name, getattr(where, attribute))))
        yield


class _Counted(asyncio.Protocol):
    """The server's side of one connection, and what all of it takes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: Listener) -> None:
        self.spent = 0.0
        self._inner: asyncio.Protocol = self._count(lambda: tls.TlsWire(loop, listener))

    def _count(self, do: Callable[[], T]) -> T:
        began = time.thread_time()
        try:
            return do()
        finally:
            self.spent += time.thread_time() - began

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


def measured(here: peers.Site, listener: Listener, rounds: int) -> Mapping[str, float]:
    """Give the median of each part in seconds, the whole first, the rest last.

    Args:
        here: the run's site.
        listener: one that serves, with the certificates that clients are asked for.
        rounds: of half of which the parts are timed, and of half only the whole.
    """
    whole = statistics.median(_connect(here, listener, number) for number in range(rounds // 2))
    parts: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds // 2):
        spent: Clock = dict.fromkeys((name for name, _, _ in PARTS), 0.0)
        with _timed(spent):
            _connect(here, listener, number)
        for name, seconds in spent.items():
            parts[name].append(seconds)
    medians = {name: statistics.median(seconds) for name, seconds in parts.items()}
    return {"a connection": whole, **medians, "the rest, ours": whole - sum(medians.values())}
