"""A token endpoint that exchanges tokens as RFC 8693 has it, with all of its checks, for tests.

endpoint = ExchangeEndpoint(issuer.tokens, clients={"gateway": "secret"}, targets={"orders": {"read"}})
issuer.answers["/token"] = endpoint.handle
"""

import asyncio
import base64
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

import jwt
from aiohttp import web

from tests.tokens import TokenIssuer

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"


class ExchangeError(Exception):
    """RFC 6749 §5.2."""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.status = error, status


class ExchangeEndpoint:
    """Exchanges an issuer's own tokens, for clients it knows, towards targets it knows."""

    def __init__(
        self,
        tokens: TokenIssuer,
        clients: Mapping[str, str],
        targets: Mapping[str, set[str]],
        lifetime: int | None = 300,
    ) -> None:
        self.tokens = tokens
        self.clients = clients
        self.targets = targets
        self.lifetime = lifetime
        self.asked: list[dict[str, list[str]]] = []
        self.under_way = 0
        self.most = 0
        self.go_on = asyncio.Event()
        """Requests wait for it."""
        self.go_on.set()
        self.come = asyncio.Condition()
        self.change: Callable[[dict[str, Any]], Any] = lambda answer: answer
        """What a test makes of an answer."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        form = await request.post()
        async with self.come:
            self.asked.append(_of(form))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.come.notify_all()
        try:
            await self.go_on.wait()
            answer = self.change(self._exchanged(request, _of(form)))
            if isinstance(answer, web.StreamResponse):
                return answer
            return web.json_response(answer, headers={"Cache-Control": "no-store"})
        except ExchangeError as wrong:
            return web.json_response({"error": wrong.error, "error_description": "x\r\ny"}, status=wrong.status)
        finally:
            self.under_way -= 1

    async def until_asked(self, times: int) -> None:
        """Wait until so many requests have come."""
        async with self.come:
            await self.come.wait_for(lambda: len(self.asked) >= times)

    def _exchanged(self, request: web.Request, form: dict[str, list[str]]) -> dict[str, Any]:
        client = self._client(request, form)
        if _one(form, "grant_type") != GRANT:
            raise ExchangeError("unsupported_grant_type")
        if _one(form, "subject_token_type") != ACCESS_TOKEN or "actor_token" in form:
            raise ExchangeError("invalid_request")
        requested = _one(form, "requested_token_type") if "requested_token_type" in form else ACCESS_TOKEN
        if requested not in (ACCESS_TOKEN, JWT):
            raise ExchangeError("invalid_request")
        subject = self._subject(_one(form, "subject_token"))
        audience = [*form.get("audience", []), *form.get("resource", [])]
        if not audience or any(target not in self.targets for target in audience):
            raise ExchangeError("invalid_target")
        scope = _one(form, "scope").split() if "scope" in form else []
        if any(one not in self.targets[target] for one in scope for target in audience):
            raise ExchangeError("invalid_scope")
        token = self.tokens.token(
            sub=subject["sub"], aud=audience, scope=" ".join(scope), act={"sub": client}, jti=str(uuid.uuid4())
        )
        answer = {"access_token": token.decode(), "issued_token_type": requested, "token_type": "Bearer"}
        return answer if self.lifetime is None else answer | {"expires_in": self.lifetime}

    def _client(self, request: web.Request, form: dict[str, list[str]]) -> str:
        header = request.headers.get("Authorization", "")
        if header.startswith("Basic "):
            name, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
            name, secret = unquote_plus(name), unquote_plus(secret)
        else:
            name, secret = _one(form, "client_id"), _one(form, "client_secret")
        if self.clients.get(name) != secret:
            raise ExchangeError("invalid_client", 401)
        return name

    def _subject(self, token: str) -> dict[str, Any]:
        """A token of ours that counts now."""
        try:
            claims = jwt.decode(
                token,
                self.tokens.key.public_key(),
                [self.tokens.algorithm],
                {"verify_exp": False, "verify_iat": False, "verify_aud": False, "require": ["exp", "sub"]},
                issuer=self.tokens.issuer,
            )
        except jwt.PyJWTError:
            raise ExchangeError("invalid_request") from None
        if claims["exp"] <= self.tokens.now():
            raise ExchangeError("invalid_grant")
        return dict(claims)


def _of(form: Any) -> dict[str, list[str]]:
    return {name: [str(value) for value in form.getall(name)] for name in form}


def _one(form: dict[str, list[str]], name: str) -> str:
    values = form.get(name, [])
    if len(values) != 1:
        raise ExchangeError("invalid_request")
    return values[0]
