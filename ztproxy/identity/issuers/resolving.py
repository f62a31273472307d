"""Names of issuers' servers resolved in threads of their own.

A name server that does not answer holds a thread for a long time. The event loop has few of them for everybody; with
those in use, one issuer's broken name would delay every other's keys.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

_THREADS = 2


class OwnThreads(AbstractResolver):
    """The system's resolver, in threads that nobody else waits for."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "ztproxy-issuer")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises `OSError`."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Let idle threads end; one that still waits for a name server is left behind."""
        self._threads.shutdown(wait=False, cancel_futures=True)
