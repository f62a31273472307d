"""Logging in at the demo's identity provider, in a browser: who will you be?

The real protocol (authorization code with PKCE, OpenID Connect Core 1.0 §3.1), and in the place of passwords a page
with a button for each user: whoever reaches it may be anybody.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from ztproxy.page import Form, Page

PORTAL = "portal"
"""The one client that people log in for; it has no secret."""
_LASTS = 60.0
"""Seconds that a code is good for."""
_MOST = 64
"""Codes that are good at a time."""
_ASKED = ("redirect_uri", "state", "nonce", "code_challenge")
Sign = Callable[[str, Mapping[str, object]], str]
"""Makes a signed token about a user, with these claims too."""


class _Given(msgspec.Struct, frozen=True):
    """What a code was given for."""

    user: str
    redirect_uri: str
    nonce: str
    code_challenge: str
    at: float


class People:
    """The pages and codes of an issuer.

    Args:
        url: the issuer's.
        users: who one can be.
        sign: makes tokens.
    """

    def __init__(self, url: str, users: Mapping[str, Mapping[str, str]], sign: Sign) -> None:
        self.redirect_uri = ""
        """The only place that codes are sent to; nowhere while it is empty."""
        self._url = url
        self._users = users
        self._sign = sign
        self._given: dict[str, _Given] = {}

    async def ask(self, request: web.Request) -> web.Response:
        """The page that asks who one will be."""
        asked = request.query
        if (wrong := self._wrong(asked)) is not None:
            return web.json_response({"error": "invalid_request", "error_description": wrong}, status=400)
        fields = tuple((name, asked[name]) for name in _ASKED)
        target = request.path
        page = Page(
            "Who will you be?",
            ("This is the demo's identity provider. A real one would ask for more than a click.",),
            actions=tuple(Form(f"Log in as {user}", target, (*fields, ("user", user))) for user in self._users),
        )
        return web.Response(body=page.html(), content_type="text/html", charset="utf-8")

    async def choose(self, request: web.Request) -> web.Response:
        """Send the browser back with a code for the user that was chosen."""
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        user = form.get("user", "")
        if self._wrong({**form, "client_id": PORTAL, "code_challenge_method": "S256"}) or user not in self._users:
            return web.json_response({"error": "invalid_request"}, status=400)
        code = secrets.token_urlsafe(32)
        while len(self._given) >= _MOST:
            self._given.pop(next(iter(self._given)))
        self._given[code] = _Given(user, form["redirect_uri"], form["nonce"], form["code_challenge"], time.time())
        back = urlencode({"code": code, "state": form["state"], "iss": self._url})
        return web.Response(status=303, headers={"Location": f"{self.redirect_uri}?{back}"})

    def grant(self, form: Mapping[str, object]) -> Mapping[str, object] | None:
        """What a code is exchanged for, once; None where it is not good."""
        given = self._given.pop(str(form.get("code")), None)
        challenge = create_s256_code_challenge(str(form.get("code_verifier")))
        if (
            given is None
            or form.get("client_id") != PORTAL
            or form.get("redirect_uri") != given.redirect_uri
            or challenge != given.code_challenge
            or time.time() - given.at > _LASTS
        ):
            return None
        about = {"name": given.user.capitalize(), "preferred_username": given.user}
        login = {"aud": PORTAL, "nonce": given.nonce, "auth_time": int(given.at), **about}
        return {
            "id_token": self._sign(given.user, login),
            "access_token": self._sign(given.user, about),
            "token_type": "Bearer",
            "expires_in": 3600,
        }

    def _wrong(self, asked: Mapping[str, str]) -> str | None:
        if asked.get("client_id") != PORTAL or not self.redirect_uri or asked.get("redirect_uri") != self.redirect_uri:
            return "this client is not known, or its redirect_uri is another"
        if asked.get("code_challenge_method") != "S256":
            return "code_challenge_method is S256"
        return next((f"no {name}" for name in _ASKED if not asked.get(name)), None)
