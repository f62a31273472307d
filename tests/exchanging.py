"""A route whose callers' tokens are exchanged, in front of a real endpoint: `async with Scene(folder) as scene`."""

from pathlib import Path
from typing import Any

from aiohttp import web

from tests.exchange_endpoint import ExchangeEndpoint
from tests.issuer_server import DISCOVERY, World
from ztproxy.identity.exchange.building import exchanging
from ztproxy.model import Arrived, Authorized, Decided, Decision, Identified, Refused


class Scene(World):
    """One issuer that verifies and exchanges, one route `r`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "secret").write_text("geheim")
        (folder / "secret").chmod(0o600)

    async def begin(self, lifetime: int | None = 300, *, named: bool = True, **options: Any) -> None:
        """Start all of it; `named`: by the issuer's metadata; `options` go into the route's `token_exchange`."""
        self.server = server = await self.issuer()
        endpoint = ExchangeEndpoint(
            server.tokens,
            {"gate way": "geheim"},
            {"orders": {"read", "write"}, "https://orders.test/": {"read"}},
            lifetime,
        )
        self.endpoint = endpoint

        async def metadata(_: web.Request) -> web.Response:
            return web.json_response(server.metadata() | ({"token_endpoint": server.url + "/token"} if named else {}))

        server.answers[DISCOVERY] = metadata
        server.answers["/token"] = endpoint.handle
        if options.get("token_endpoint", "").startswith("/"):
            options["token_endpoint"] = server.url + options["token_endpoint"]
        section = {
            "client_id": "gate way",
            "client_secret": {"file": self.folder / "secret"},
            "audience": ["orders"],
        } | options
        route = self.route(token_exchange=section, issuers=[server.url])
        settings = self.settings([self.trust(server)], routes=[route, self.route("plain", issuers=[server.url])])
        self.identity_of_all = await self.build(settings)
        self.decide = exchanging(self._decide, self.identity_of_all.exchangers)

    async def asked(self, *authorization: bytes, route: str = "r", **request: Any) -> Decided:
        """What becomes of a request that carries these Authorization values."""
        return await self.decide(self.routed(*authorization, route=route, **request).arrived)

    async def _decide(self, arrived: Arrived) -> Decided:
        """Who asks, and may all they like."""
        route = arrived.host.removesuffix(".test")
        routed = self.routed(*arrived.unverified_authorization, route=route)
        identified = await self.identity_of_all.identify(routed)
        if not isinstance(identified, Identified):
            return Refused(identified, routed)  # type: ignore[arg-type]
        decision = Decision(allow=True)
        return Authorized(arrived, route, identified.certificate, identified.token, None, decision)
