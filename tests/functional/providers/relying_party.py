"""The least that an application does to log somebody in, so that a provider is judged and not ztproxy."""

import base64
import hashlib
import secrets
import time
from urllib.parse import urlencode

import aiohttp
import jwt

from tests.tokens import private_key

CALLBACK = "https://app.localhost:1/callback"
"""Nobody listens there: a visitor stops before it."""


class RelyingParty:
    """The least that an application does, so that the provider is judged and not ztproxy."""

    def __init__(self, provider, application, context):
        self.provider, self.application, self.context = provider, application, context
        self.verifier = secrets.token_urlsafe(32)
        self.nonce = secrets.token_urlsafe(16)

    async def __aenter__(self):
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.context, force_close=True))
        try:
            self.discovered = await self._json("GET", f"{self.provider.issuer}/.well-known/openid-configuration")
        except BaseException:
            await self.session.close()
            raise
        return self

    async def __aexit__(self, *_):
        await self.session.close()

    def authorization_url(self, **parameters):
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "client_id": self.application.client_id,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": self.provider.scope,
            "state": "some-state",
            "nonce": self.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self.discovered['authorization_endpoint']}?{urlencode(asked | parameters)}"

    async def redeem(self, callback):
        assert callback.query["state"] == "some-state"
        assert callback.query["iss"] == self.provider.issuer
        grant = {"grant_type": "authorization_code", "code": callback.query["code"], "redirect_uri": CALLBACK}
        return await self.token({**grant, "code_verifier": self.verifier})

    async def refresh(self, refresh_token):
        return await self.token({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def token(self, data, endpoint="token_endpoint"):
        document, data, headers = self.discovered, dict(data), {}
        application = self.application
        if application.authentication == "client_secret_basic":
            headers["Authorization"] = aiohttp.encode_basic_auth(application.client_id, application.secret)
        elif application.authentication == "private_key_jwt":
            data["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            data["client_assertion"] = self._assertion(document["issuer"])
        else:
            data["client_id"] = application.client_id
            document = document["mtls_endpoint_aliases"]
        return await self._json("POST", document[endpoint], data=data, headers=headers)

    def _assertion(self, audience):
        claims = {"iss": self.application.client_id, "sub": self.application.client_id, "aud": audience}
        claims |= {"iat": int(time.time()), "exp": int(time.time()) + 60, "jti": secrets.token_urlsafe(16)}
        return jwt.encode(claims, private_key("ES256", "application"), "ES256", {"kid": "application"})

    async def id_token(self, token):
        keys = jwt.PyJWKSet.from_dict(await self._json("GET", self.discovered["jwks_uri"]))
        kid = jwt.get_unverified_header(token)["kid"]
        [key] = [key for key in keys.keys if key.key_id == kid]
        return jwt.decode(token, key, ["RS256"], audience=self.application.client_id, issuer=self.provider.issuer)

    async def _json(self, method, url, **options):
        async with self.session.request(method, url, **options) as response:
            return await response.json() | {"status": response.status}
