"""The admin socket: what `ztproxy status`, `ztproxy reload` and `ztproxy sessions` ask, and who may.

On a Unix socket our own user and root may, as the kernel says who they are. On TCP whoever shows the token, under the
one Host that the address makes: a page in somebody's browser could otherwise ask under a name of its own (DNS
rebinding).
"""

import hmac
import socket
from collections.abc import Callable
from typing import TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ztproxy.admin import pages
from ztproxy.admin.fleet import Steered
from ztproxy.admin.hosted import MOST_CONTENT
from ztproxy.admin.sessions import Listing, Revoking
from ztproxy.config.values import Address, UnixAddress
from ztproxy.edge.peer_user import is_ours

Asked = TypeVar("Asked")
LIFETIME = 300.0
"""Seconds that a connection lasts at most: a reload takes as long as its policy takes to compile."""


def application(fleet: Steered, address: Address, token: str | None) -> web.Application:
    """What it serves.

    Args:
        fleet: what is asked and steered.
        address: as configured; says who may.
        token: what has to be shown on TCP.
    """

    async def status(_request: web.Request) -> web.Response:
        return web.Response(body=await pages.status(fleet), content_type="application/json")

    async def metrics(request: web.Request) -> web.Response:
        page, kind = await pages.metrics(fleet, request.headers.get("Accept", ""))
        return web.Response(body=page, headers={"Content-Type": kind})

    async def reload(_request: web.Request) -> web.Response:
        made = await fleet.reload("admin")
        code = 409 if made.problems else 200
        return web.Response(body=msgspec.json.encode(made), status=code, content_type="application/json")

    async def refresh(request: web.Request) -> web.Response:
        issuer = request.query.get("issuer")
        if issuer is not None and issuer not in fleet.issuers():
            raise web.HTTPNotFound(text=f"no issuer {issuer} is configured\n")
        made = await fleet.refresh(issuer)
        code = 502 if made.failed else 200
        return web.Response(body=msgspec.json.encode(made), status=code, content_type="application/json")

    async def sessions(request: web.Request) -> web.Response:
        wanted = await _asked(request, Listing)
        return web.Response(body=msgspec.json.encode(await fleet.sessions(wanted)), content_type="application/json")

    async def revoke(request: web.Request) -> web.Response:
        wanted = await _asked(request, Revoking)
        return web.Response(body=msgspec.json.encode(await fleet.revoke(wanted)), content_type="application/json")

    application = web.Application(middlewares=[_guard(address, token)], client_max_size=MOST_CONTENT)
    application.router.add_get("/status", status)
    application.router.add_get("/metrics", metrics)
    application.router.add_post("/reload", reload)
    application.router.add_post("/issuers/refresh", refresh)
    application.router.add_post("/sessions", sessions)
    application.router.add_post("/sessions/revoke", revoke)
    return application


async def _asked(request: web.Request, kind: type[Asked]) -> Asked:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as wrong:
        raise web.HTTPBadRequest(text=f"{wrong}\n") from None


def _guard(address: Address, token: str | None) -> Middleware:
    allowed = _from_ourselves if isinstance(address, UnixAddress) else _showing(str(address), token or "")

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not allowed(request):
            raise web.HTTPForbidden(text="not for you\n")
        return await handler(request)

    return guard


def _from_ourselves(request: web.Request) -> bool:
    transport = request.transport
    sock: socket.socket | None = None if transport is None else transport.get_extra_info("socket")
    return sock is not None and is_ours(sock)


def _showing(host: str, token: str) -> Callable[[web.Request], bool]:
    wanted = f"Bearer {token}".encode()

    def allowed(request: web.Request) -> bool:
        hosts = request.headers.getall("Host", [])
        shown = request.headers.getall("Authorization", [])
        if not token or hosts != [host] or len(shown) != 1 or "Origin" in request.headers:
            return False
        return hmac.compare_digest(shown[0].encode("utf-8", "surrogateescape"), wanted)

    return allowed
