"""Issuers over real TLS on loopback, well behaved or not, and an `Identity` that trusts them.

async with World(tmp_path) as world:
    issuer = await world.issuer()                        # serves discovery and keys
    identity = await world.identity([issuer])            # one route "r" that requires a token
    await world.ask(identity, issuer.tokens.bearer())    # -> Identified | Refusal
"""

import asyncio
import secrets
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from tests.pki import Authority
from tests.tokens import TokenIssuer, private_key
from ztproxy.config.settings import Settings
from ztproxy.identity import Clock, Identity
from ztproxy.model import Arrived, Certificate, Connection, Identified, Refusal, Routed

KEYS = "/keys"
DISCOVERY = "/.well-known/openid-configuration"
INTROSPECTION = "/introspect"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SetClock:
    """Time that stands still until it is moved; both clocks move together."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.wall = wall
        self.monotonic = 1000.0
        self.clock = Clock(wall=lambda: self.wall, monotonic=lambda: self.monotonic)

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


class IssuerServer:
    """An issuer that publishes its keys; `answers` replaces what it says at a path."""

    def __init__(self, authority: Authority, folder: Path, clock: SetClock, algorithm: str, kid: str) -> None:
        self.answers: dict[str, Handler] = {}
        self.asked: list[str] = []
        self.keys: list[dict[str, Any]] | None = None
        """Published instead of its own key."""
        self.headers: dict[str, str] = {}
        self.opaque: dict[str, Any] = {}
        """What it says of tokens that say nothing by themselves; of others that they are not active."""
        self.forms: list[dict[str, Any]] = []
        """What came to its introspection endpoint."""
        self.port = 0
        self._clock, self._algorithm, self._kid = clock, algorithm, kid
        certificate, key = authority.server().write(folder, f"issuer-{id(self)}")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._runner: web.AppRunner | None = None
        self.hold = asyncio.Event()
        """Handlers that hang wait for it; set when the server stops."""

    async def start(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"https://localhost:{self.port}"
        self.tokens = TokenIssuer.__new__(TokenIssuer)
        self.sign_with(self._algorithm, self._kid)

    def sign_with(self, algorithm: str, kid: str) -> TokenIssuer:
        """From here on it signs with another key."""
        issuer = self.tokens
        issuer.issuer, issuer.algorithm, issuer.kid, issuer.audience = self.url, algorithm, kid, "ztproxy"
        issuer.now, issuer.key = lambda: self._clock.wall, private_key(algorithm, kid)
        return issuer

    async def stop(self) -> None:
        self.hold.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def issue(self, **claims: Any) -> bytes:
        """The value of an Authorization field with an opaque token."""
        token = secrets.token_urlsafe(24)
        good = {"active": True, "client_id": "app", "token_type": "Bearer"}
        self.opaque[token] = good | self.tokens.claims(**claims)
        return b"Bearer " + token.encode()

    async def _introspect(self, request: web.Request) -> web.StreamResponse:
        form = dict(await request.post())
        self.forms.append(form | {"authorization": request.headers.get("Authorization")})
        if request.headers.get("Authorization") != "Basic enRwcm94eTpub3QtYS1zZWNyZXQ=":
            raise web.HTTPUnauthorized
        return web.json_response(self.opaque.get(str(form["token"]), {"active": False}))

    def metadata(self) -> dict[str, Any]:
        return {"issuer": self.url, "jwks_uri": self.url + KEYS}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path in self.answers:
            return await self.answers[request.path](request)
        if request.path == DISCOVERY:
            return web.json_response(self.metadata())
        if request.path == KEYS:
            keys = [self.tokens.jwk()] if self.keys is None else self.keys
            return web.json_response({"keys": keys}, headers=self.headers)
        if request.path == INTROSPECTION and request.method == "POST":
            return await self._introspect(request)
        raise web.HTTPNotFound

    async def hang(self, request: web.Request) -> web.StreamResponse:
        await self.hold.wait()
        raise web.HTTPServiceUnavailable


class World(AsyncExitStack):
    """A folder, a clock, an authority, issuers, and what trusts them."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.clock = SetClock()
        self.authority = Authority.new("Issuers' Root")
        self.authority_file = self.authority.write(folder, "issuers-ca")

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    async def issuer(self, *, algorithm: str = "ES256", kid: str = "key-1") -> IssuerServer:
        server = IssuerServer(self.authority, self.folder, self.clock, algorithm, kid)
        await server.start()
        self.push_async_callback(server.stop)
        return server

    def trust(self, server: IssuerServer, **options: Any) -> dict[str, Any]:
        """The issuer's section of the configuration."""
        return {
            "issuer": server.url,
            "audiences": ["ztproxy"],
            "algorithms": ["RS256", "ES256", "EdDSA"],
            "authorities": [self.authority_file],
        } | options

    def introspection(self, server: IssuerServer, **options: Any) -> dict[str, Any]:
        """The section that has it asked about tokens."""
        secret = self.folder / "introspection-secret"
        secret.write_text("not-a-secret\n")
        endpoint = {"endpoint": server.url + INTROSPECTION}
        return endpoint | {"client_id": "ztproxy", "client_secret": {"file": secret}} | options

    def settings(self, issuers: list[dict[str, Any]], **options: Any) -> Settings:
        sections: dict[str, Any] = {
            "version": 1,
            "listeners": [{"address": "127.0.0.1:8080", "protocol": "http"}],
            "issuers": issuers,
            "routes": [self.route(issuers=[issuer["issuer"] for issuer in issuers])],
            "state": self.folder / "var",
        }
        return Settings.model_validate(sections | options)

    @staticmethod
    def route(name: str = "r", **options: Any) -> dict[str, Any]:
        return {
            "name": name,
            "hosts": [f"{name}.test"],
            "require": ["token"],
            "upstream": {"servers": ["http://127.0.0.1:1"]},
        } | options

    async def identity(self, servers: list[IssuerServer], *, started: bool = True, **options: Any) -> Identity:
        """An `Identity` of these issuers; `options` go into each one's section."""
        return await self.build(self.settings([self.trust(server, **options) for server in servers]), started=started)

    async def build(self, settings: Settings, *, started: bool = True) -> Identity:
        identity = Identity.build(settings, clock=self.clock.clock)
        self.push_async_callback(identity.close)
        if started:
            await identity.start()
        return identity

    async def ask(
        self,
        identity: Identity,
        *authorization: bytes,
        certificate: Certificate | Refusal | None = None,
        route: str = "r",
        listener: str = "127.0.0.1:8080",
        **request: Any,
    ) -> Identified | Refusal:
        """Identify one request that carries these Authorization values; `request`: other parts of its `Arrived`."""
        return await identity.identify(
            self.routed(*authorization, certificate=certificate, route=route, listener=listener, **request)
        )

    def routed(
        self,
        *authorization: bytes,
        certificate: Certificate | Refusal | None = None,
        route: str = "r",
        listener: str = "127.0.0.1:8080",
        **request: Any,
    ) -> Routed:
        connection = Connection(
            listener=listener,
            scheme="https",
            peer="127.0.0.1",
            peer_port=1,
            local_port=2,
            unchecked_certificate=certificate,
        )
        arrived = {
            "request_id": "1",
            "wall": self.clock.wall,
            "monotonic": self.clock.monotonic,
            "connection": connection,
            "source": "127.0.0.1",
            "method": "GET",
            "scheme": "https",
            "host": f"{route}.test",
            "port": 443,
            "authority": f"{route}.test".encode(),
            "path": "/",
            "segments": (),
            "query": "",
            "has_query": False,
            "fields": (),
            "unverified_authorization": authorization,
            "content_length": 0,
        }
        return Routed(Arrived(**(arrived | request)), route)
