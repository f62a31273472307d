"""The health listener: /livez, /readyz, /metrics and nothing else, to whoever asks.

It tells nothing that identifies anybody, changes nothing, and takes no content. It is served outside of the workers, so
it answers while they have more to do than they can.
"""

from aiohttp import web
from aiohttp.typedefs import Handler

from ztproxy.admin import pages
from ztproxy.admin.fleet import Steered
from ztproxy.admin.fresh import Fresh

LIFETIME = 15.0
"""Seconds that a connection lasts at most: monitors come again."""
READY_FOR = 0.1
"""Seconds for which the workers' word on whether they are ready is good: whoever can connect may ask."""
_PLAIN = "text/plain"


def application(fleet: Steered) -> web.Application:
    """What it serves."""

    async def live(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n", content_type=_PLAIN)

    page = pages.MetricsPage(fleet)
    unready = Fresh(fleet.unready, READY_FOR)

    async def ready(_request: web.Request) -> web.Response:
        missing = await unready()
        text = "".join(f"{one}\n" for one in missing) or "ok\n"
        return web.Response(text=text, status=503 if missing else 200, content_type=_PLAIN)

    async def metrics(request: web.Request) -> web.Response:
        body, kind = await page.read(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": kind})

    made = web.Application(middlewares=[_nothing_else])
    made.router.add_get("/livez", live)
    made.router.add_get("/readyz", ready)
    made.router.add_get("/metrics", metrics)
    return made


@web.middleware
async def _nothing_else(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.can_read_body:
        raise web.HTTPRequestEntityTooLarge(0, 1)
    response = await handler(request)
    response.headers["Cache-Control"] = "no-store"
    return response
