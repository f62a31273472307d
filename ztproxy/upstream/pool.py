"""The connections to one server of one route: idle ones, the latest first, and new ones.

A pool belongs to one route and one server and has one TLS context, so connections are never shared across different
TLS settings or routes.
"""

import asyncio
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from ztproxy.config.settings import Upstream
from ztproxy.model import Reason, Refusal
from ztproxy.upstream.connection import Connection

IDLE_SECONDS = 30.0
IDLE_CONNECTIONS = 256
IDLE_TLS_CONNECTIONS = 64
"""Fewer, as each holds a quarter of a megabyte."""
_PORTS = {"http": 80, "https": 443}


class Pool:
    """Connects to one server, keeps what is idle, bounded in number and time.

    Args:
        server: the server's URL, as configured.
        upstream: where its timeouts and the name to verify are.
        context: how it is verified; None for http.
        wake: called when a connection becomes idle, so that `expire` is called in time.
    """

    def __init__(
        self, server: str, upstream: Upstream, context: ssl.SSLContext | None, wake: Callable[[], None]
    ) -> None:
        parts = urlsplit(server)
        self.name = server
        self._address = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        bracketed = f"[{self._address}]" if ":" in self._address else self._address
        self.host = (bracketed if self._port == _PORTS[parts.scheme] else f"{bracketed}:{self._port}").encode("idna")
        self._context = context
        self._server_name = (upstream.tls and upstream.tls.server_name) or self._address
        self._timeout = upstream.timeouts.connect
        self._limit = IDLE_CONNECTIONS if context is None else IDLE_TLS_CONNECTIONS
        self._wake = wake
        self._idle: list[Connection] = []

    @property
    def tls(self) -> bool:
        """Whether its server is reached over TLS."""
        return self._context is not None

    def take(self) -> Connection | None:
        """The connection that became idle last, or None."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive and not connection.transport.is_closing():
                return connection
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

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection in self._idle:
            self._idle.remove(connection)

    def expire(self, now: float) -> bool:
        """Close what has been idle for too long; whether any idle connection is left."""
        for connection in [one for one in self._idle if now - one.idle_since >= one.keep]:
            connection.discard()
        return bool(self._idle)

    def close(self) -> None:
        """Close what is idle."""
        for connection in tuple(self._idle):
            connection.discard()

    async def connect(self) -> Connection | Refusal:
        """A new connection: name resolution, TCP and TLS within the connect timeout.

        Refuses with `upstream-timeout`, `upstream-tls-failed` or `upstream-unreachable`; nothing was sent then.
        """
        try:
            async with asyncio.timeout(self._timeout):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, IDLE_SECONDS),
                    self._address,
                    self._port,
                    ssl=self._context,
                    server_hostname=None if self._context is None else self._server_name,
                )
        except TimeoutError:
            return self._refusal(Reason.UPSTREAM_TIMEOUT, "connecting took too long")
        except ssl.SSLError as wrong:
            return self._refusal(Reason.UPSTREAM_TLS_FAILED, _tls_cause(wrong))
        except (OSError, UnicodeError) as wrong:
            return self._refusal(Reason.UPSTREAM_UNREACHABLE, str(wrong))
        return connection

    def _refusal(self, reason: Reason, cause: str) -> Refusal:
        return Refusal(reason, cause=f"{self.name}: {cause}")


def _tls_cause(wrong: ssl.SSLError) -> str:
    if isinstance(wrong, ssl.SSLCertVerificationError):
        return f"certificate not verified: {wrong.verify_message}"
    return wrong.reason or str(wrong)
