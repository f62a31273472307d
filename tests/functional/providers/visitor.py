"""A browser without a screen: follows redirects between hosts, keeps cookies, fills in forms.

    async with Visitor(authority) as visitor:
        page = await visitor.open("https://app.localhost:8443/orders")
        page = await visitor.log_in(page, ALICE)          # at whatever provider the redirects led to
        page = await visitor.submit(page, {"answer": "allow"})

It sends what a browser sends with a navigation: `Accept: text/html`, `Sec-Fetch-*`, and `Origin` with a form post.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tests.functional.providers.provider import User
from tests.pki import Authority, client_context

_REDIRECTS = range(300, 400)
_MOST = 20
NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
}


@dataclass(frozen=True)
class Form:
    """A form of a page: where it goes, and its fields as they stand."""

    action: URL
    method: str
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """What a navigation ended with; `passed` are the addresses that redirected here, the first first."""

    url: URL
    status: int
    text: str
    headers: Mapping[str, str]
    passed: tuple[URL, ...] = ()

    @property
    def forms(self) -> list[Form]:
        reader = _Forms(self.url)
        reader.feed(self.text)
        return reader.found


class Visitor:
    """One person's browser; every host below `localhost` is this machine."""

    def __init__(self, authority: Authority, context: ssl.SSLContext | None = None) -> None:
        connector = aiohttp.TCPConnector(ssl=context or client_context(authority), resolver=_Loopback())
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.CookieJar(), timeout=aiohttp.ClientTimeout(total=30)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def open(self, url: str | URL, *, until: str | None = None, headers: Mapping[str, str] | None = None) -> Page:
        """Navigate, following redirects; stops before one to an address that starts with `until`."""
        return await self._navigate("GET", URL(str(url), encoded=True), None, None, until, headers or {})

    async def submit(self, page: Page, fields: Mapping[str, str], *, form: int = 0, until: str | None = None) -> Page:
        """Send a form of the page with some of its fields filled in."""
        chosen = page.forms[form]
        data = {**chosen.fields, **fields}
        if chosen.method == "GET":
            return await self._navigate("GET", chosen.action.with_query(data), None, page.url, until, {})
        return await self._navigate("POST", chosen.action, data, page.url, until, {})

    async def log_in(self, page: Page, user: User, *, code: bool = False, until: str | None = None) -> Page:
        """Fill in the login page of any provider of these tests."""
        filled = {"username": user.name, "password": user.password}
        return await self.submit(page, filled | ({"code": user.code} if code else {}), until=until)

    def cookies(self, url: str) -> dict[str, str]:
        """What is sent to an address."""
        return {name: morsel.value for name, morsel in self._session.cookie_jar.filter_cookies(URL(url)).items()}

    async def _navigate(  # noqa: PLR0917 - private
        self,
        method: str,
        url: URL,
        data: Mapping[str, str] | None,
        origin: URL | None,
        until: str | None,
        headers: Mapping[str, str],
    ) -> Page:
        passed: list[URL] = []
        for _ in range(_MOST):
            sent = {**NAVIGATION, **headers, "Sec-Fetch-Site": _site(origin, url)}
            if method == "POST" and origin is not None:
                sent["Origin"] = str(origin.origin())
            async with self._session.request(method, url, data=data, headers=sent, allow_redirects=False) as response:
                text = await response.text()
                seen = response.headers.copy()
                status = response.status
            location = seen.get("Location") if status in _REDIRECTS else None
            target = None if location is None else url.join(URL(location, encoded=True))
            if target is None or (until is not None and str(target).startswith(until)):
                return Page(url if target is None else target, status, text, seen, tuple(passed))
            passed.append(url)
            if status not in {307, 308}:
                method, data = "GET", None
            url = target
        raise RuntimeError(f"too many redirects: {passed}")


def _site(origin: URL | None, url: URL) -> str:
    """`Sec-Fetch-Site`, for hosts that share no more than `localhost`."""
    if origin is None:
        return "none"
    return "same-origin" if origin.origin() == url.origin() else "cross-site"


class _Forms(HTMLParser):
    def __init__(self, base: URL) -> None:
        super().__init__()
        self._base = base
        self.found: list[Form] = []
        self._fields: dict[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._fields = {}
            action = self._base.join(URL(given.get("action", ""), encoded=True)) if given.get("action") else self._base
            self.found.append(Form(action, given.get("method", "get").upper(), self._fields))
        elif self._fields is not None and given.get("name") and tag in {"input", "textarea"}:
            kind = given.get("type", "text")
            if kind not in {"submit", "button", "image", "file"} and (
                kind not in {"checkbox", "radio"} or "checked" in given
            ):
                self._fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._fields = None


class _Loopback(AbstractResolver):
    """Names at and below `localhost` are this machine (RFC 6761 §6.3); there are no others here."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        if host != "localhost" and not host.endswith(".localhost"):
            raise OSError(f"{host} is not on this machine")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=4)]

    async def close(self) -> None:
        """Nothing is held."""
