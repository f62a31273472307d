"""Signed documents over HTTP, bounded in every way; whoever asks for one verifies its signature.

No redirects, no proxy of the environment, no cookies, no compression. Plain http will do: what is fetched is signed.
"""

import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from ztproxy.identity.resolving import OwnThreads

MAXIMUM_SAID = 300
"""Characters of what went wrong, as it is told."""
_OK, _NOT_MODIFIED = 200, 304
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "ztproxy"}


class DownloadError(Exception):
    """It could not be had; the message says why, for the operator."""


class Download(msgspec.Struct, frozen=True):
    """What was fetched, and what its server calls it (`ETag`); no body where it is the one that is known already."""

    body: bytes | None
    tag: str | None


class Downloads:
    """Fetches what is known about one authority's certificates; shares nothing with another's."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._resolver = OwnThreads()

    async def get(self, url: str, maximum: int, tag: str | None = None) -> Download:
        """The document at a URL, of at most so many octets. The caller bounds the time. Raises `DownloadError`."""
        fields = {} if tag is None else {"If-None-Match": tag}
        return await self._ask("GET", url, maximum, fields)

    async def post(self, url: str, body: bytes, media_type: str, maximum: int) -> bytes:
        """The answer to a question; likewise."""
        answer = await self._ask("POST", url, maximum, {"Content-Type": media_type}, body)
        return answer.body or b""

    async def _ask(
        self, method: str, url: str, maximum: int, fields: Mapping[str, str], body: bytes | None = None
    ) -> Download:
        connector = aiohttp.TCPConnector(ssl=self._trust, resolver=self._resolver, force_close=True, limit=1)
        options: dict[str, Any] = {"allow_redirects": False, "headers": fields, "data": body}
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    connector_owner=True,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    trust_env=False,
                    auto_decompress=False,
                    headers=_HEADERS,
                ) as session,
                session.request(method, url, **options) as response,
            ):
                return await _read(response, maximum, conditional="If-None-Match" in fields)
        except (aiohttp.ClientError, OSError, ValueError) as wrong:
            said = ascii(str(wrong))[1:-1][:MAXIMUM_SAID]  # it may hold what the server sent, over several lines
            raise DownloadError(f"{url}: {type(wrong).__name__}: {said}") from wrong


async def _read(response: aiohttp.ClientResponse, maximum: int, *, conditional: bool) -> Download:
    tag = response.headers.get("ETag")
    if response.status == _NOT_MODIFIED and conditional:
        return Download(None, tag)
    if response.status != _OK:
        raise DownloadError(f"{response.url} answered {response.status}; redirects are not followed")
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > maximum:
            raise DownloadError(f"{response.url} answered with more than {maximum} octets")
    return Download(bytes(body), tag if tag is not None and tag.isascii() and len(tag) <= 256 else None)  # noqa: PLR2004
