"""Sessions without a browser: begun, presented and refreshed against a token endpoint over real TLS.

async with SessionWorld(tmp_path) as world:
    identity = await world.start()                      # route "r" at r.test, whose login is world.op
    cookie = await world.begin()                        # what a browser would present from now on
    await world.present(identity, cookie)               # -> Identified | Refusal
"""

import asyncio
import ssl
from http.cookies import SimpleCookie
from typing import Any

import aiohttp
from aiohttp import web

from tests.issuer_server import IssuerServer, World
from ztproxy.identity import Identity
from ztproxy.identity.sessions.refreshing import IssuerAway, Refreshed, RefreshRefused
from ztproxy.identity.sessions.session import Session
from ztproxy.model import Fields, Identified, Refusal

NAME = b"__Host-ztproxy-id"


class TokenEndpoint:
    """Gives new claims for a refresh token once, and another refresh token with them; asked over TLS."""

    def __init__(self, server: IssuerServer, authority_file: Any, lifetime: float = 300.0) -> None:
        self.server = server
        self.counting = {"refresh-0"}
        self.used: list[str] = []
        self.claims: dict[str, Any] = {"sub": "alice", "groups": ["staff"]}
        self.lifetime = lifetime
        self.hold: asyncio.Event | None = None
        """An answer waits for it."""
        self.asked = asyncio.Event()
        server.answers["/token"] = self._answer
        self._context = ssl.create_default_context(cafile=str(authority_file))

    async def _answer(self, request: web.Request) -> web.Response:
        token = (await request.post())["refresh_token"]
        self.used.append(token)
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        if token not in self.counting:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.counting = {f"refresh-{len(self.used)}"}
        return web.json_response({"claims": self.claims, "refresh_token": next(iter(self.counting))})

    async def refresh(self, session: Session, now: float) -> Refreshed | RefreshRefused | IssuerAway:
        """See `ztproxy.identity.sessions.refreshing.Refresh`."""
        form = {"grant_type": "refresh_token", "refresh_token": session.refresh_token}
        connector = aiohttp.TCPConnector(ssl=self._context)
        try:
            async with (
                aiohttp.ClientSession(connector=connector) as client,
                client.post(f"{self.server.url}/token", data=form) as response,
            ):
                answer = await response.json()
        except aiohttp.ClientError as wrong:
            return IssuerAway(type(wrong).__name__)
        if response.status != 200:
            return RefreshRefused(answer["error"])
        return Refreshed(
            claims=answer["claims"],
            audience=session.audience,
            id_token=session.id_token,
            refresh_token=answer["refresh_token"],
            refresh_at=now + 0.8 * self.lifetime,
            token_expires_at=now + self.lifetime,
            issued_at=now,
            key_id=session.key_id,
            display=session.display,
        )


class SessionWorld(World):
    """One issuer, the logins at it, and who was logged in."""

    op: IssuerServer

    def configured(self, *, routes: list[dict[str, Any]] | None = None, **options: Any):
        login = {"issuer": self.op.url, "client_id": "web", "client_authentication": "none"}
        return self.settings(
            [self.trust(self.op)],
            login=options.pop("login", [login]),
            sessions=options.pop("sessions", {}),
            routes=routes or [self.route(login=self.op.url), self.route("other", login=self.op.url)],
            **options,
        )

    async def start(self, **options: Any) -> Identity:
        """An identity stage whose routes have logins."""
        if not hasattr(self, "op"):
            self.op = await self.issuer()
        self.identity_now = await self.build(self.configured(**options))
        return self.identity_now

    def endpoint(self, identity: Identity, lifetime: float = 300.0) -> TokenEndpoint:
        """The issuer's token endpoint, where sessions of this stage are refreshed."""
        endpoint = TokenEndpoint(self.op, self.authority_file, lifetime)
        identity.sessions.upkeep.refresh_by(endpoint)
        return endpoint

    def login(self, **changes: Any) -> Session:
        """What a login comes to."""
        now = self.clock.wall
        made: dict[str, Any] = {
            "issuer": self.op.url,
            "client_id": "web",
            "subject": "alice",
            "claims": {"sub": "alice", "groups": ["staff"], "iat": now},
            "audience": ("web",),
            "host": "r.test",
            "route": "r",
            "created_at": now,
            "used_at": now,
            "ends_at": now + 1e9,
            "id_token": "id.token.here",
            "op_session": "op-1",
            "issued_at": now,
            "key_id": "key-1",
            "display": "Alice",
        }
        return Session(**(made | changes))

    def refreshable(self, endpoint: TokenEndpoint, **changes: Any) -> Session:
        """A login whose claims have to be refreshed."""
        times = {
            "refresh_at": self.clock.wall + 0.8 * endpoint.lifetime,
            "token_expires_at": self.clock.wall + endpoint.lifetime,
        }
        return self.login(**({"refresh_token": "refresh-0"} | times | changes))

    async def begin(
        self, session: Session | None = None, *, replacing: bytes | None = None, identity: Identity | None = None
    ) -> bytes:
        """Log in; the cookie's value."""
        sessions = (identity or self.identity_now).sessions
        fields = await sessions.begin(session or self.login(), replacing, self.clock.wall)
        return cookie_of(fields)

    async def present(self, identity: Identity, *values: bytes, **request: Any) -> Identified | Refusal:
        """Ask with these cookies."""
        return await self.ask(identity, own_cookies=tuple((NAME, value) for value in values), **request)


def cookie_of(fields: Fields | Refusal) -> bytes:
    """The value of the cookie that these fields set."""
    assert not isinstance(fields, Refusal), fields
    ((name, value),) = fields
    assert name == b"set-cookie"
    return SimpleCookie(value.decode())[NAME.decode()].value.encode()
