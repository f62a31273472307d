"""The demo's two sample applications: they show what the proxy told them."""

import ssl

from aiohttp import web

from ztproxy.page import SIGN_OUT, Fact, Link, Page, prefers_html

_TOLD = ("x-forwarded-for", "x-request-id", "x-role", "x-ztproxy-assertion", "client-cert")


class Service:
    """A sample application on loopback; with a TLS context it takes only clients that show a certificate."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        """Serve on a free port of loopback."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._show)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _show(self, request: web.Request) -> web.Response:
        told = {name: _shortened(request.headers[name]) for name in _TOLD if name in request.headers}
        seen = {"service": self.name, "method": request.method, "path": request.path, "told_by_the_proxy": told}
        if isinstance(peer := request.get_extra_info("peercert"), dict):
            seen["proxy_certificate"] = dict(pair for rdn in peer["subject"] for pair in rdn)["commonName"]
        accepted = [value.encode("latin-1", "replace") for value in request.headers.getall("Accept", [])]
        if prefers_html(accepted):
            return web.Response(body=_page(told, request.path), content_type="text/html", charset="utf-8")
        return web.json_response(seen)


def _page(told: dict[str, str], path: str) -> bytes:
    """What a browser is shown."""
    facts = tuple(Fact(name, value, code=True) for name, value in told.items())
    told_us = ("An application behind ztproxy. It has no login of its own: this is what it was told about you.",)
    return Page(f"You are at {path}", told_us, facts=facts, actions=(Link("Sign out", SIGN_OUT),)).html()


def _shortened(value: str, most: int = 48) -> str:
    return value if len(value) <= most else f"{value[:most]}…"
