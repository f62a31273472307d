"""One document over HTTPS, bounded in every way: what an issuer sends is not trusted before it has been read.

No redirects, no proxy of the environment, no cookies, no compression (a few octets could become gigabytes).
"""

import re
import ssl

import aiohttp
import msgspec

from ztproxy.identity.resolving import OwnThreads

MAXIMUM_DOCUMENT = 256 * 1024
"""Octets."""
_OK = 200
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "ztproxy"}


class FetchError(Exception):
    """The document could not be had; the message says why, for the operator."""


class Document(msgspec.Struct, frozen=True):
    """What was fetched, and for how many seconds its server calls it fresh; None when it does not say."""

    body: bytes
    fresh_for: int | None


class Fetcher:
    """Fetches from the servers of one issuer, and shares nothing with another's."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._resolver = OwnThreads()

    async def get(self, url: str) -> Document:
        """The document at an https URL. The caller bounds the time. Raises `FetchError`."""
        if not url.startswith("https://"):
            raise FetchError(f"{url} is not an https URL")
        connector = aiohttp.TCPConnector(ssl=self._trust, resolver=self._resolver, force_close=True, limit=1)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    trust_env=False,
                    auto_decompress=False,
                    headers=_HEADERS,
                ) as session,
                session.get(url, allow_redirects=False) as response,
            ):
                return await _read(response)
        except (aiohttp.ClientError, OSError, ValueError) as wrong:
            raise FetchError(f"{url}: {type(wrong).__name__}: {wrong}") from wrong


async def _read(response: aiohttp.ClientResponse) -> Document:
    if response.status != _OK:
        raise FetchError(f"{response.url} answered {response.status}; redirects are not followed")
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAXIMUM_DOCUMENT:
            raise FetchError(f"{response.url} answered with more than {MAXIMUM_DOCUMENT} octets")
    return Document(bytes(body), max_age(response.headers.getall("Cache-Control", [])))


def max_age(values: list[str]) -> int | None:
    """Seconds of freshness in Cache-Control (RFC 9111 §5.2.2); 0 where it must not be kept, None when it is silent."""
    directives = [part.strip().lower() for value in values for part in value.split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0
    for directive in directives:
        if found := re.fullmatch(r'max-age="?([0-9]{1,10})"?', directive):
            return int(found[1])
    return None
