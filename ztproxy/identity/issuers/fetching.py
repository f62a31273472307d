"""One document over HTTPS, bounded in every way: what an issuer sends is not trusted before it has been read.

No redirects, no proxy of the environment, no cookies, no compression (a few octets could become gigabytes).
"""

import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence

import aiohttp
import msgspec

from ztproxy.identity.issuers.resolving import OwnThreads

MAXIMUM_DOCUMENT = 256 * 1024
"""Octets."""
Form = Mapping[str, str] | Sequence[tuple[str, str]]
"""Parameters of a form; as pairs, a name may stand more than once."""
_OK = 200
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "ztproxy"}


class FetchError(Exception):
    """The document could not be had; the message says why, for the operator."""


class Document(msgspec.Struct, frozen=True):
    """What was fetched, and for how many seconds its server calls it fresh; None when it does not say."""

    body: bytes
    fresh_for: int | None


class Answer(msgspec.Struct, frozen=True):
    """What an endpoint answered to a form."""

    status: int
    media_type: str
    """In lower case, without parameters."""
    body: bytes


class Fetcher:
    """Fetches from the servers of one issuer, and shares nothing with another's.

    Args:
        trust: how the servers are verified; holds our own certificate where they ask for it.
        kept_open: so many connections stay open between requests; 0: each request has one of its own.
    """

    def __init__(self, trust: ssl.SSLContext, *, kept_open: int = 0) -> None:
        self._trust = trust
        self._resolver = OwnThreads()
        self._kept_open = kept_open
        self._lasting: aiohttp.ClientSession | None = None

    async def get(self, url: str) -> Document:
        """The document at an https URL. The caller bounds the time. Raises `FetchError`."""
        async with self._asking(url) as session, session.get(url, allow_redirects=False) as response:
            if response.status != _OK:
                raise FetchError(f"{response.url} answered {response.status}; redirects are not followed")
            body = await _read(response)
            return Document(body, max_age(response.headers.getall("Cache-Control", [])))

    async def post(self, url: str, form: Form, headers: Mapping[str, str]) -> Answer:
        """What an https URL answers to a form, whatever its status. The caller bounds the time. Raises `FetchError`.

        Where connections are kept open, one may just have been closed there: then the form is sent once more, so it
        has to be one that may come twice.
        """
        async with self._asking(url) as session:
            try:
                return await _post(session, url, form, headers)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not self._kept_open:
                    raise
                return await _post(session, url, form, headers)

    async def close(self) -> None:
        """Close the connections that are kept open."""
        lasting, self._lasting = self._lasting, None
        if lasting is not None:
            await lasting.close()

    @contextlib.asynccontextmanager
    async def _asking(self, url: str) -> AsyncIterator[aiohttp.ClientSession]:
        if not url.startswith("https://"):
            raise FetchError(f"{url} is not an https URL")
        try:
            if self._kept_open:
                self._lasting = self._lasting or self._session()
                yield self._lasting
            else:
                async with self._session() as session:
                    yield session
        except (aiohttp.ClientError, OSError, ValueError) as wrong:
            raise FetchError(f"{url}: {type(wrong).__name__}: {wrong}") from wrong

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self._trust, resolver=self._resolver, force_close=not self._kept_open, limit=self._kept_open or 1
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers=_HEADERS,
        )


async def _post(session: aiohttp.ClientSession, url: str, form: Form, headers: Mapping[str, str]) -> Answer:
    async with session.post(url, data=form, headers=headers, allow_redirects=False) as response:
        try:
            return Answer(response.status, response.content_type.lower(), await _read(response))
        finally:
            _abort(response)


def _abort(response: aiohttp.ClientResponse) -> None:
    """Break the connection off unless the response has ended: closing it would wait for a server that streams on."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAXIMUM_DOCUMENT:
            raise FetchError(f"{response.url} answered with more than {MAXIMUM_DOCUMENT} octets")
    return bytes(body)


def max_age(values: list[str]) -> int | None:
    """Seconds of freshness in Cache-Control (RFC 9111 §5.2.2); 0 where it must not be kept, None when it is silent."""
    directives = [part.strip().lower() for value in values for part in value.split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0
    for directive in directives:
        if found := re.fullmatch(r'max-age="?([0-9]{1,10})"?', directive):
            return int(found[1])
    return None
