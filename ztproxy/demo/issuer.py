"""The demo's identity provider: real discovery, real keys, tokens by password and client credentials.

Not for production: its users are below, their passwords are their names, and it asks nobody anything.
"""

import hmac
import ssl
import time
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from ztproxy.config.demonstration import ISSUER_PATH

AUDIENCE = "ztproxy-demo"
USERS = {"ada": {"role": "clerk"}, "bob": {"role": "guest"}}
CLIENTS = {"report-job": {"role": "clerk"}}
_LIFETIME = 3600


class Issuer:
    """An OIDC issuer on one port of localhost."""

    def __init__(self, port: int) -> None:
        self.url = f"https://localhost:{port}{ISSUER_PATH}"
        self._port = port
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._runner: web.AppRunner | None = None

    async def start(self, context: ssl.SSLContext) -> None:
        """Serve on loopback, over TLS."""
        application = web.Application()
        application.router.add_get(f"{ISSUER_PATH}/.well-known/openid-configuration", self._discovery)
        application.router.add_get(f"{ISSUER_PATH}/keys", self._keys)
        application.router.add_post(f"{ISSUER_PATH}/token", self._token)
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
        claims = {
            "iss": self.url,
            "sub": subject,
            "aud": AUDIENCE,
            "iat": min(now, now + int(lifetime) - 1),
            "exp": now + int(lifetime),
            "role": role,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "demo"})

    async def _discovery(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "token_endpoint": f"{self.url}/token",
                "grant_types_supported": ["password", "client_credentials"],
                "response_types_supported": ["token"],
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
