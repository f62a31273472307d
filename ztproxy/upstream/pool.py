"""The connections to one server of one route: idle ones, the latest first, and new ones.

A pool belongs to one route and one server and has one TLS context, so connections are never shared across different
TLS settings or routes.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ztproxy.config.upstreams import Upstream
from ztproxy.model import Reason, Refusal
from ztproxy.upstream.addresses import Lookup, look_up
from ztproxy.upstream.connection import Connection
from ztproxy.upstream.dialing import Tls, dialler
from ztproxy.upstream.peers import Peers
from ztproxy.upstream.silence import is_silent

IDLE_SECONDS = 30.0
IDLE_CONNECTIONS = 256
IDLE_TLS_CONNECTIONS = 64
"""Fewer, as each holds a quarter of a megabyte."""


class Pool:
    """Connects to one server, keeps what is idle, bounded in number and time.

    Args:
        server: the server's URL, as configured.
        upstream: where its timeouts and the name to verify are.
        context: how it is verified; None for http and Unix sockets.
        wake: called when a connection becomes idle, so that `expire` is called in time.
        lookup: asks for the addresses of a name.
        peers: who the server may be, where it is known by its SPIFFE ID.
    """

    def __init__(
        self,
        server: str,
        upstream: Upstream,
        context: ssl.SSLContext | None,
        wake: Callable[[], None],
        lookup: Lookup = look_up,
        *,
        peers: Peers | None = None,
    ) -> None:
        self.name = server
        self._peers = peers
        self.dialler = dialler(server, upstream.resolve, self._moved, lookup)
        self.host = self.dialler.host
        self._context = context
        server_name = (upstream.tls and upstream.tls.server_name) or urlsplit(server).hostname or ""
        self._tls = None if context is None else Tls(context, server_name)
        self._timeout = upstream.timeouts.connect
        self._limit = IDLE_CONNECTIONS if context is None else IDLE_TLS_CONNECTIONS
        self._wake = wake
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self.requests = 0
        """Exchanges begun here."""
        self.failures = 0
        """Exchanges that the server failed."""

    @property
    def tls(self) -> bool:
        """Whether its server is reached over TLS."""
        return self._context is not None

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._open)

    @property
    def idle(self) -> int:
        """Those of them that serve no exchange."""
        return len(self._idle)

    def take(self) -> Connection | None:
        """The connection that became idle last, or None."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive and not connection.transport.is_closing():
                return connection
        return None

    def take_silent(self) -> Connection | None:
        """The same, for a request that cannot be sent twice: the socket itself is asked whether its peer closed it."""
        while (connection := self.take()) is not None:
            if is_silent(connection.transport):
                return connection
            connection.discard()
        return None

    def put(self, connection: Connection, now: float) -> None:
        """An exchange is over and its connection in step: keep it for the next."""
        if not connection.alive:
            return
        connection.end(now)
        if len(self._idle) < self._limit and connection.keep > 0:
            self._idle.append(connection)
            self._wake()
        else:
            connection.discard()

    def made(self, connection: Connection) -> None:
        """A connection is open."""
        self._open.add(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def expire(self, now: float) -> bool:
        """Close what has been idle for too long, and see to where the server is; whether any connection is left."""
        for connection in [one for one in self._idle if now - one.idle_since >= one.keep]:
            connection.discard()
        if self._open:
            self.dialler.refresh(now)
        return bool(self._idle)

    def adopt(self, other: "Pool") -> None:
        """Take over what another pool of the same server knows of where it is."""
        self.dialler.adopt(other.dialler)

    def end_strangers(self, peers: Peers) -> None:
        """End what is under way with servers that others' trust knows no more; to the client the server is lost."""
        for connection in tuple(self._open):
            if connection.alive and peers.fault(connection.transport) is not None:
                connection.transport.abort()

    def close_idle(self) -> None:
        """Close what is idle."""
        for connection in tuple(self._idle):
            connection.discard()

    def retire(self) -> None:
        """Close what is idle, and keep nothing more."""
        self._limit = 0
        self.close_idle()

    def close(self) -> None:
        """Close what is idle, and look nothing up any more."""
        self.retire()
        self.dialler.close()

    async def connect(self) -> Connection | Refusal:
        """A new connection: name resolution, TCP and TLS within the connect timeout.

        Refuses with `upstream-timeout`, `upstream-tls-failed` or `upstream-unreachable`; nothing was sent then.
        """
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self.dialler.dial(lambda: Connection(self, IDLE_SECONDS), self._tls)
        except TimeoutError:
            return self._refusal(Reason.UPSTREAM_TIMEOUT, "connecting took too long")
        except ssl.SSLError as wrong:
            return self._refusal(Reason.UPSTREAM_TLS_FAILED, _tls_cause(wrong))
        except (OSError, UnicodeError) as wrong:
            return self._refusal(Reason.UPSTREAM_UNREACHABLE, str(wrong))
        fault = None if self._peers is None else self._peers.fault(connection.transport)
        if fault is not None:
            connection.discard()
            return self._refusal(Reason.UPSTREAM_TLS_FAILED, fault)
        return connection

    def _moved(self, gone: frozenset[tuple[Any, ...]]) -> None:
        """Addresses are no longer the server's: what is connected there serves its exchange and no other."""
        for connection in tuple(self._open):
            if (connection.transport.get_extra_info("peername") or ())[:2] in gone:
                connection.keep = 0.0
                if connection in self._idle:
                    connection.discard()

    def _refusal(self, reason: Reason, cause: str) -> Refusal:
        return Refusal(reason, cause=f"{self.name}: {cause}")


def _tls_cause(wrong: ssl.SSLError) -> str:
    if isinstance(wrong, ssl.SSLCertVerificationError):
        return f"certificate not verified: {wrong.verify_message}"
    return wrong.reason or str(wrong)
