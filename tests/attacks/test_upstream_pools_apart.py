"""Connections are never shared between routes, so never across different TLS settings."""

from tests.raw_server import RawServer, RecordingClient, always, authorized
from ztproxy.config.routes import Route
from ztproxy.config.settings import Settings
from ztproxy.upstream import Upstreams

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_two_routes_to_one_server_have_connections_of_their_own():
    server = await RawServer.start(always(OK))
    routes = tuple(
        Route.model_validate({"name": name, "hosts": ["*"], "require": [], "upstream": {"servers": [server.url]}})
        for name in ("one", "two")
    )
    upstreams = Upstreams.build(Settings.model_construct(routes=routes, assertion=None))
    for _ in range(2):
        for name in ("one", "two"):
            client = RecordingClient()
            upstreams.forward(authorized(route=name), client).send_end()
            await client.done()
    assert len(server.peers) == 2
    assert len({pool._context for pool in upstreams._pools}) == 1
    await upstreams.close()
    await server.stop()
