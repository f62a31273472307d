"""An aiohttp application on a socket of ours, bounded in connections, sizes and time: nobody keeps others out."""

import asyncio
import socket
from collections.abc import Callable
from typing import Self

from aiohttp import web

MOST_CONNECTIONS = 64
LONGEST_LINE = 4096
"""Octets of a request line, and of a field."""
MOST_CONTENT = 4096
KEEP_ALIVE = 5.0
"""Seconds between two requests."""


class Hosted:
    """A served application. Make one with `start`."""

    def __init__(self, runner: web.AppRunner, server: asyncio.AbstractServer) -> None:
        self._runner = runner
        self._server = server

    @classmethod
    async def start(cls, application: web.Application, sock: socket.socket, lifetime: float) -> Self:
        """Serve on a socket that listens already.

        Args:
            application: what is served.
            sock: is closed at the end.
            lifetime: seconds that a connection may last, whatever happens on it.
        """
        runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=KEEP_ALIVE,
            shutdown_timeout=1.0,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
        )
        await runner.setup()
        loop = asyncio.get_running_loop()
        made = _bounded(runner, lifetime)
        if sock.family == getattr(socket, "AF_UNIX", None):
            return cls(runner, await loop.create_unix_server(made, sock=sock))
        return cls(runner, await loop.create_server(made, sock=sock))

    async def close(self) -> None:
        """Serve no more."""
        self._server.close()
        await self._runner.cleanup()


def _bounded(runner: web.AppRunner, lifetime: float) -> Callable[[], asyncio.BaseProtocol]:
    """Makes the protocol of each connection; one connection too many is closed at once."""
    loop = asyncio.get_running_loop()

    def made() -> asyncio.BaseProtocol:
        server = runner.server
        if server is None or len(server.connections) >= MOST_CONNECTIONS:
            return _Closed()
        protocol = server()

        def end() -> None:
            if protocol.transport is not None:
                protocol.transport.abort()

        loop.call_later(lifetime, end)
        return protocol

    return made


class _Closed(asyncio.Protocol):
    """A connection that there is no room for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
