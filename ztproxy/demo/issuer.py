"""The demo's identity provider: real discovery, real keys, tokens by password and client credentials, and logins.

Not for production: its users are below, their passwords are their names, and a browser is asked for none at all.
"""

import hmac
import ssl
import time
from collections.abc import Mapping
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from ztproxy.config.demonstration import ISSUER_PATH
from ztproxy.demo.people import People

AUDIENCE = "ztproxy-demo"
USERS = {"ada": {"role": "clerk"}, "bob": {"role": "guest"}}
CLIENTS = {"report-job": {"role": "clerk"}}
_LIFETIME = 3600


class Issuer:
    """An OIDC issuer on one port of localhost."""

    def __init__(self, port: int) -> None:
        self.url = f"https://localhost:{port}{ISSUER_PATH}"
        self.people = People(self.url, USERS, self._signed)
        """Its pages."""
        self._port = port
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._runner: web.AppRunner | None = None

    async def start(self, context: ssl.SSLContext) -> None:
        """Serve on loopback, over TLS."""
        application = web.Application()
        application.router.add_get(f"{ISSUER_PATH}/.well-known/openid-configuration", self._discovery)
        application.router.add_get(f"{ISSUER_PATH}/keys", self._keys)
        application.router.add_post(f"{ISSUER_PATH}/token", self._token)
        application.router.add_get(f"{ISSUER_PATH}/authorize", self.people.ask)
        application.router.add_post(f"{ISSUER_PATH}/authorize", self.people.choose)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=context).start()

    async def close(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    def token(self, subject: str, role: str, *, lifetime: float = _LIFETIME) -> str:
        """A signed token; a negative lifetime makes one that has expired (seconds)."""
        now = int(time.time())
        times = {"iat": min(now, now + int(lifetime) - 1), "exp": now + int(lifetime)}
        return self._signed(subject, {**times, "role": role})

    def _signed(self, subject: str, claims: Mapping[str, object]) -> str:
        now = int(time.time())
        usual = {"iss": self.url, "sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + _LIFETIME}
        usual |= USERS.get(subject, {})
        return jwt.encode({**usual, **claims}, self._key, algorithm="RS256", headers={"kid": "demo"})

    async def _discovery(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "grant_types_supported": ["authorization_code", "password", "client_credentials"],
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        key: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return web.json_response({"keys": [{**key, "kid": "demo", "use": "sig", "alg": "RS256"}]})

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        match form.get("grant_type"):
            case "password":
                known, name, secret = USERS, form.get("username"), form.get("password")
            case "authorization_code":
                made = self.people.grant(form)
                return web.json_response(made or {"error": "invalid_grant"}, status=200 if made else 400)
            case "client_credentials":
                known, name, secret = CLIENTS, form.get("client_id"), form.get("client_secret")
            case _:
                return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if not (isinstance(name, str) and isinstance(secret, str) and name in known):
            return web.json_response({"error": "invalid_grant"}, status=400)
        if not hmac.compare_digest(secret.encode(), name.encode()):
            return web.json_response({"error": "invalid_grant"}, status=400)
        token = self.token(name, known[name]["role"])
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": _LIFETIME})
