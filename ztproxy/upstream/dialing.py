"""How a server is reached: a Unix socket, an address, or a name whose addresses are raced."""

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohappyeyeballs

from ztproxy.upstream.addresses import Addresses, Lookup, look_up
from ztproxy.upstream.connection import Connection

_PORTS = {"http": 80, "https": 443}
_RACE_DELAY = 0.25
"""Seconds until the next address is tried beside one that has not answered (RFC 8305 §5)."""

Make = Callable[[], Connection]


class Tls:
    """How a server is verified: the context and the name."""

    __slots__ = ("context", "server_name")

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self.context = context
        self.server_name = server_name


class Dialler(Protocol):
    """Reaches one server."""

    host: bytes
    """As the Host field names it."""

    async def dial(self, make: Make, tls: Tls | None) -> Connection:
        """A connection; raises what `loop.create_connection` does."""

    def refresh(self, now: float) -> bool:
        """Renew what is known of where it is; whether there is something to renew again and again."""

    def adopt(self, other: "Dialler") -> None:
        """Take over what another knows of the same server."""

    def close(self) -> None:
        """Give up what runs beside."""


class _Static:
    """A server whose place does not change."""

    host: bytes

    def refresh(self, _now: float) -> bool:
        return False

    def adopt(self, _other: Dialler) -> None:
        """Nothing is known that could change."""

    def close(self) -> None:
        """Nothing runs."""


class UnixDialler(_Static):
    """A server on a Unix socket.

    Args:
        path: the socket's.
    """

    def __init__(self, path: str) -> None:
        self.host = b"localhost"
        self._path = path

    async def dial(self, make: Make, tls: Tls | None) -> Connection:  # noqa: ARG002 - there is no TLS on one
        _, connection = await asyncio.get_running_loop().create_unix_connection(make, self._path)
        return connection


class AddressDialler(_Static):
    """A server at an IP address."""

    def __init__(self, address: str, port: int, host: bytes) -> None:
        self._address = address
        self._port = port
        self.host = host

    async def dial(self, make: Make, tls: Tls | None) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            make,
            self._address,
            self._port,
            ssl=None if tls is None else tls.context,
            server_hostname=None if tls is None else tls.server_name,
        )
        return connection


class NameDialler:
    """A server with a name: its addresses in turn, IPv6 and IPv4 raced (RFC 8305)."""

    def __init__(self, addresses: Addresses, host: bytes) -> None:
        self.addresses = addresses
        self.host = host

    async def dial(self, make: Make, tls: Tls | None) -> Connection:
        loop = asyncio.get_running_loop()
        infos = await self.addresses.get(loop.time())
        try:
            sock = await aiohappyeyeballs.start_connection(
                infos, happy_eyeballs_delay=_RACE_DELAY, interleave=1, loop=loop
            )
        except RuntimeError as wrong:  # what uvloop makes of some failures of sockets
            raise OSError(str(wrong)) from wrong
        try:
            _, connection = await loop.create_connection(
                make,
                sock=sock,
                ssl=None if tls is None else tls.context,
                server_hostname=None if tls is None else tls.server_name,
            )
        except BaseException:
            sock.close()
            raise
        return connection

    def refresh(self, now: float) -> bool:
        self.addresses.refresh(now)
        return True

    def adopt(self, other: Dialler) -> None:
        if isinstance(other, NameDialler):
            self.addresses.adopt(other.addresses)

    def close(self) -> None:
        self.addresses.close()


def dialler(
    server: str,
    lifetime: float,
    changed: Callable[[frozenset[tuple[Any, ...]]], None],
    lookup: Lookup = look_up,
) -> Dialler:
    """For a server's URL.

    Args:
        server: the URL, as configured.
        lifetime: seconds that a name's addresses are used.
        changed: called with a name's addresses that are no longer its own.
        lookup: asks for a name's addresses.
    """
    if server.startswith("unix:"):
        return UnixDialler(server.removeprefix("unix:"))
    parts = urlsplit(server)
    address, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    bracketed = f"[{address}]" if ":" in address else address
    host = (bracketed if port == _PORTS[parts.scheme] else f"{bracketed}:{port}").encode("idna")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return NameDialler(Addresses(address, port, lifetime, lookup, changed), host)
    return AddressDialler(address, port, host)
