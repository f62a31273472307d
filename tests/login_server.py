"""An OpenID provider over real TLS that logs people in at once, well behaved or not, and a browser that keeps cookies.

async with LoginWorld(tmp_path) as world:
    op = await world.op()
    gateway = await world.gateway(op)                  # a route "app" at app.test that requires a token
    browser = world.browser(gateway)
    page = await browser.get("https://app.test/x?y=1")   # follows redirects, through the provider, and back
"""

import asyncio
import hashlib
import json
import re
import secrets
from html import unescape
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urljoin, urlsplit

import aiohttp
from aiohttp import web

from tests.edge import Edge
from tests.fakes import PEER, AllowingPolicy, NoLimits, RecordingForward, RecordingPipeline
from tests.issuer_server import DISCOVERY, KEYS, IssuerServer, World
from tests.tokens import ABSENT, base64url
from ztproxy.identity import Identity
from ztproxy.pipeline import Pipeline
from ztproxy.routing import Routing
from ztproxy.routing.reserved import Reserved

AUTHORIZE, TOKEN, USERINFO, END = "/authorize", "/token", "/userinfo", "/end"
CLIENT, SECRET = "ztproxy-web", "a secret: with % and +"


class LoginServer(IssuerServer):
    """Whoever comes is `person`; what it says can be changed in one stated way each."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.person: dict[str, Any] = {"sub": "alice", "name": "Alice Example", "email": "alice@corp.example"}
        self.acr: str | None = "urn:one"
        self.logged_in_at: float | None = None
        """When the person last proved who they are; None: just now."""
        self.sid = "op-session-1"
        self.id_token: dict[str, object] = {}
        """Claims replaced, added or `ABSENT`."""
        self.header: dict[str, object] = {}
        self.given: dict[str, object] = {}
        """Members of the token endpoint's answer replaced, added or `ABSENT`."""
        self.returned: dict[str, object] = {}
        """Parameters of the authorization response, likewise."""
        self.published: dict[str, object] = {}
        """Members of its metadata, likewise."""
        self.userinfo: dict[str, object] | None = None
        self.asked_to_authorize: list[dict[str, str]] = []
        self.grants: list[dict[str, str]] = []
        self.ended: list[dict[str, str]] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.refresh_tokens: dict[str, str] = {}

    def metadata(self) -> dict[str, Any]:
        known = {
            "issuer": self.url,
            "jwks_uri": self.url + KEYS,
            "authorization_endpoint": self.url + AUTHORIZE,
            "token_endpoint": self.url + TOKEN,
            "userinfo_endpoint": self.url + USERINFO,
            "end_session_endpoint": self.url + END,
            "authorization_response_iss_parameter_supported": True,
        }
        return changed(known, self.published)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        handlers = {AUTHORIZE: self._authorize, TOKEN: self._token, USERINFO: self._userinfo, END: self._end}
        if request.path in handlers and request.path not in self.answers:
            self.asked.append(request.path)
            return await handlers[request.path](request)
        return await super()._handle(request)

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked_to_authorize.append(query)
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        said = changed({"code": code, "state": query["state"], "iss": self.url}, self.returned)
        raise web.HTTPFound(query["redirect_uri"] + "?" + urlencode(said))

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.grants.append(form)
        if form["grant_type"] == "refresh_token":
            if self.refresh_tokens.pop(form["refresh_token"], None) is None:
                return web.json_response({"error": "invalid_grant"}, status=400)
            return web.json_response(self._tokens(None))
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64url(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
        sound = asked is not None and asked["code_challenge"] == challenge
        if not sound or asked["redirect_uri"] != form["redirect_uri"]:
            return web.json_response({"error": "invalid_grant", "error_description": "<b>no</b>"}, status=400)
        return web.json_response(self._tokens(asked["nonce"]))

    def _tokens(self, nonce: str | None) -> dict[str, Any]:
        access_token, refresh_token = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        self.refresh_tokens[refresh_token] = "good"
        given = {
            "token_type": "Bearer",
            "access_token": access_token,
            "expires_in": 600,
            "refresh_token": refresh_token,
            "id_token": self.sign(nonce, access_token).decode(),
        }
        return changed(given, self.given)

    def sign(self, nonce: str | None = None, access_token: str = "") -> bytes:
        """An ID token for this person."""
        size = {"256": hashlib.sha256, "384": hashlib.sha384}[self.tokens.algorithm[-3:]]
        digest = size(access_token.encode()).digest()
        claims = {
            **self.person,
            "aud": CLIENT,
            "nonce": nonce or ABSENT,
            "sid": self.sid,
            "acr": self.acr or ABSENT,
            "auth_time": int(self._clock.wall if self.logged_in_at is None else self.logged_in_at),
            "at_hash": base64url(digest[: len(digest) // 2]).decode(),
            **self.id_token,
        }
        return self.tokens.token(header=self.header, **claims)

    def logout_token(self, header: dict[str, object] | None = None, **claims: object) -> bytes:
        """A logout token for this person's session."""
        event = {"http://schemas.openid.net/event/backchannel-logout": {}}
        said = {"aud": CLIENT, "sid": self.sid, "jti": secrets.token_urlsafe(8), "events": event, "exp": ABSENT}
        return self.tokens.token(header={"typ": "logout+jwt", **(header or {})}, **{**said, **claims})

    async def _userinfo(self, request: web.Request) -> web.StreamResponse:
        if self.userinfo is None or not request.headers.get("Authorization", "").startswith("Bearer "):
            raise web.HTTPUnauthorized
        return web.json_response(self.userinfo)

    async def _end(self, request: web.Request) -> web.StreamResponse:
        self.ended.append(dict(request.query))
        said = urlencode({"state": request.query["state"]})
        raise web.HTTPFound(request.query["post_logout_redirect_uri"] + "?" + said)


def changed(known: dict[str, Any], by: dict[str, object]) -> dict[str, Any]:
    """Members replaced, added, or left out."""
    return {name: value for name, value in (known | by).items() if value is not ABSENT}


class Gateway:
    """The pipeline with a real identity stage; every request is a connection of its own."""

    def __init__(self, world: "LoginWorld", identity: Identity, settings: Any) -> None:
        self.identity = identity
        self.policy = AllowingPolicy()
        self.forward = RecordingForward()
        self._world = world
        reserved = Reserved(identity.reserved)
        self._pipeline = Pipeline(Routing.build(settings.routes), identity, NoLimits(), self.policy, reserved)

    async def kept(self, *kinds: bytes) -> dict[bytes, Any]:
        """The records of these kinds by their keys; of all kinds that logins have where none is named."""
        context = self.identity._logins.context
        now = self._world.clock.wall
        pages = [await context.records.listed(kind, b"", 1000, now) for kind in kinds or (b"s", b"u", b"h", b"p", b"j")]
        return {key: record for page in pages for key, record in page.records}

    async def ask(self, request: bytes, connection=PEER) -> "Response":
        """What comes of one request, octets in and out."""
        edge = Edge(RecordingPipeline(self._pipeline), self.forward, connection)
        edge.site.wall, edge.site.monotonic = self._world.clock.clock.wall, self._world.clock.clock.monotonic
        written = edge.send(request)
        async with asyncio.timeout(20):
            while not edge.told.all:
                await asyncio.sleep(0.001)
                written += edge.wire.taken()
        return Response(written + edge.wire.taken(), edge.told.last)


class Response:
    """A response, taken apart."""

    def __init__(self, octets: bytes, told: Any = None) -> None:
        head, _, self.body = octets.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.fields = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        self.told = told
        self.url = ""

    def __getitem__(self, name: str) -> str | None:
        return next((value for field, value in self.fields if field == name), None)

    @property
    def set_cookies(self) -> list[str]:
        return [value for field, value in self.fields if field == "set-cookie"]

    @property
    def reason(self) -> str | None:
        """The machine-readable word, in a page or a problem."""
        if "json" in (self["content-type"] or ""):
            return json.loads(self.body).get("reason")
        found = re.search(rb"<dt>Reason</dt><dd><code>([a-z-]+)</code>", self.body)
        return found[1].decode() if found else None

    @property
    def cause(self) -> str:
        """What the log says."""
        refusal = getattr(self.told.outcome, "refusal", None)
        return "" if refusal is None else refusal.cause

    @property
    def form(self) -> tuple[str, list[tuple[str, str]]]:
        """The target and the fields of the first form on the page."""
        text = self.body.decode()
        target = re.search(r'<form method="post" action="([^"]*)"', text)
        part = text[text.index("<form") : text.index("</form>")]
        fields = re.findall(r'name="([^"]*)" value="([^"]*)"', part)
        return unescape(target[1]), [(unescape(name), unescape(value)) for name, value in fields]


NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


class Browser:
    """Keeps cookies by host, as `__Host-` ones are kept, and follows redirects."""

    def __init__(self, world: "LoginWorld", gateway: Gateway) -> None:
        self._world = world
        self.gateway = gateway
        self.jar: dict[str, dict[str, str]] = {}
        self.visited: list[str] = []

    async def get(self, url: str, **options: Any) -> Response:
        """A page, with all redirects followed."""
        response = await self.once(url, **options)
        for _ in range(20):
            if response.status not in (301, 302, 303):
                return response
            response = await self.once(urljoin(response.url, response["location"] or ""))
        raise AssertionError(f"in circles: {self.visited}")

    async def post(self, url: str, fields: Any, **options: Any) -> Response:
        """A form sent from a page of the same host."""
        origin = "https://" + urlsplit(url).netloc
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin", **options.pop("headers", {})}
        return await self.get(url, method="POST", content=urlencode(fields).encode(), headers=headers, **options)

    async def press(self, response: Response, **options: Any) -> Response:
        """The first button on a page."""
        target, fields = response.form
        return await self.post(urljoin(response.url, target), fields, **options)

    async def once(
        self,
        url: str,
        method: str = "GET",
        headers: dict[str, str | None] | None = None,
        content: bytes = b"",
        kind: str = "application/x-www-form-urlencoded",
    ) -> Response:
        """One request and its response."""
        self.visited.append(url)
        parts = urlsplit(url)
        if "localhost" in parts.netloc:
            return await self._at_the_provider(url)
        host = parts.netloc
        said: dict[str, str | None] = {**NAVIGATION, **(headers or {})}
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.get(host, {}).items())
        if cookies:
            said.setdefault("Cookie", cookies)
        if method == "POST":
            said |= {"Content-Length": str(len(content))}
            said.setdefault("Content-Type", kind)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items() if value is not None)
        response = await self.gateway.ask(
            f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode() + content
        )
        response.url = url
        self._keep(host, response)
        return response

    def _keep(self, host: str, response: Response) -> None:
        for line in response.set_cookies:
            pair, *attributes = line.split("; ")
            name, _, value = pair.partition("=")
            assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(attributes), line
            jar = self.jar.setdefault(host, {})
            if "Max-Age=0" in attributes:
                jar.pop(name, None)
            else:
                jar[name] = value

    async def _at_the_provider(self, url: str) -> Response:
        connector = aiohttp.TCPConnector(ssl=self._world.trusting)
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get(url, allow_redirects=False) as found:
                response = Response(b"HTTP/1.1 %d \r\n\r\n" % found.status + await found.read())
                response.fields = [(name.lower(), value) for name, value in found.headers.items()]
                response.url = url
                return response

    def session(self, host: str = "app.test") -> str | None:
        """The session's cookie."""
        return self.jar.get(host, {}).get("__Host-ztproxy-id")

    def logins(self, host: str = "app.test") -> list[str]:
        """The cookies of logins under way."""
        return [name for name in self.jar.get(host, {}) if name.startswith("__Host-ztproxy-id-login-")]


class LoginWorld(World):
    """Providers, gateways and browsers."""

    async def op(self, *, algorithm: str = "ES256", kid: str = "key-1") -> LoginServer:
        server = LoginServer(self.authority, self.folder, self.clock, algorithm, kid)
        await server.start()
        self.push_async_callback(server.stop)
        return server

    @property
    def trusting(self) -> Any:
        import ssl

        return ssl.create_default_context(cafile=str(self.authority_file))

    def secret(self) -> dict[str, Any]:
        path = self.folder / "client.secret"
        path.write_text(SECRET)
        path.chmod(0o600)
        return {"file": path}

    def login(self, op: LoginServer, **options: Any) -> dict[str, Any]:
        """The `login` section for a provider."""
        return {"issuer": op.url, "client_id": CLIENT, "client_secret": self.secret()} | options

    async def gateway(self, *ops: LoginServer, login: dict[str, Any] | None = None, **options: Any) -> Gateway:
        """In front of `app.test`, where people log in at the first provider. `login` and `options` add to it."""
        names = [op.url for op in ops]
        routes = [self.route("app", hosts=["app.test"], issuers=names, login=names[0])]
        sections = {"login": [self.login(op, **(login or {})) for op in ops], "routes": routes} | options
        issuers = sections.pop("issuers", None) or [self.trust(op) for op in ops]
        settings = self.settings(issuers, **sections)
        return Gateway(self, await self.build(settings), settings)

    def browser(self, gateway: Gateway) -> Browser:
        return Browser(self, gateway)


def query_of(url: str) -> dict[str, str]:
    """The parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query))


__all__ = ["AUTHORIZE", "CLIENT", "DISCOVERY", "END", "TOKEN", "USERINFO", "Browser", "Gateway", "LoginServer"]
__all__ += ["LoginWorld", "Response", "parse_qs", "query_of"]
