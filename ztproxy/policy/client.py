"""opa-python-client over connections of ours.

The client makes the request: address, path, parameters, token, the shape of the query. Three things it cannot do as of
3.0, so its session and its way of sending are replaced underneath: authorities of one's own and Unix sockets; an
answer of bounded size that is no redirect; and passing JSON through as it is, where the client would decode our
document to encode it again, and decode an answer whose very octets are read strictly here.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec
from opa_client import AsyncOpaClient  # type: ignore[import-untyped] # it has no types

MAXIMUM_ANSWER = 256 * 1024
"""Octets of the server's answer; no decision is that large."""
MAXIMUM_CONNECTIONS = 64


class Place(NamedTuple):
    """Where an OPA server is: a host and a port, or a Unix socket."""

    host: str
    port: int
    tls: bool
    socket: Path | None = None


class AnswerTooLargeError(Exception):
    """The server's answer has more octets than are read."""


class RefusedError(Exception):
    """The server answered with a status that is not 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def parse_place(url: str) -> Place:
    """Where `policy.server.url` points; raises ValueError for what it cannot be, plain HTTP over a network included."""
    if url.startswith("unix:"):
        path = Path(url.removeprefix("unix:").removeprefix("//"))
        if not path.is_absolute():
            raise ValueError("policy.server.url: a Unix socket is written unix:/absolute/path")
        return Place("localhost", 8181, tls=False, socket=path)
    parts = urlsplit(url)
    beside = parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/")
    if parts.scheme not in {"http", "https"} or not parts.hostname or beside:
        raise ValueError("policy.server.url: http(s)://HOST[:PORT] or unix:/path, and nothing else in it")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError(
            f"policy.server.url: plain http to {parts.hostname} would let anyone on the way decide; use https, or "
            "http on loopback, or unix:/path"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Place(host, parts.port or 8181, tls=parts.scheme == "https")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def trust(authorities: tuple[Path, ...]) -> ssl.SSLContext:
    """TLS 1.2 or 1.3, verified against these authorities alone; against the system's only when none are given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not the default context: it writes keys to SSLKEYLOGFILE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not authorities:
        context.load_default_certs()
    for path in authorities:
        context.load_verify_locations(cafile=path)
    return context


class Reply:
    """An answer that has been read; as much of aiohttp's response as `query_rule` and `check_health` look at."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body

    def raise_for_status(self) -> None:
        if self.status != 200:  # noqa: PLR2004 - OPA answers a query with 200 and nothing else (REST API, Data)
            raise RefusedError(self.status, self.body)

    async def json(self) -> bytes:
        """The octets: `ztproxy.policy.server` reads them strictly."""
        return self.body


class Client(AsyncOpaClient):  # type: ignore[misc] # likewise
    """opa-python-client's asynchronous client with our connections, and not one retry."""

    def __init__(self, place: Place, context: ssl.SSLContext | None, token: str | None, connect: float) -> None:
        super().__init__(host=place.host, port=place.port, ssl=place.tls, token=token, retries=0)
        self._place = place
        self._context = context
        self._connect = connect

    async def _init_session(self) -> None:
        connector: aiohttp.BaseConnector
        if self._place.socket is not None:
            connector = aiohttp.UnixConnector(str(self._place.socket), limit=MAXIMUM_CONNECTIONS)
        else:
            connector = aiohttp.TCPConnector(limit=MAXIMUM_CONNECTIONS, ssl=self._context or True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self.headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            trust_env=False,
        )

    @asynccontextmanager
    async def _request(self, method: str, url: str, **kwargs: Any) -> AsyncIterator[Reply]:
        """The seam that every call of the client goes through."""
        if self._session is None:
            await self._init_session()
        body = msgspec.json.encode(kwargs["json"]) if "json" in kwargs else None
        headers = {"Content-Type": "application/json"} if body is not None else None
        async with self._session.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            read = bytearray()
            async for piece in response.content.iter_any():
                read += piece
                if len(read) > MAXIMUM_ANSWER:
                    response.close()
                    raise AnswerTooLargeError
            yield Reply(response.status, bytes(read))
