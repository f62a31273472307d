"""The issuer's token and userinfo endpoints, asked by us (RFC 6749 §4.1.3 and §6, OpenID Connect Core 1.0 §5.3).

Bounded in number, time and size: a flood of answers that nobody asked for holds up neither the issuer nor us.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ztproxy.identity.issuers.client_authentication import ClientAuthentication
from ztproxy.identity.issuers.fetching import Answer, Fetcher, FetchError
from ztproxy.identity.issuers.metadata import Metadata
from ztproxy.identity.login.authorization import printable
from ztproxy.identity.strict_json import MalformedError, read_object
from ztproxy.identity.tokens.unverified import MAXIMUM_TOKEN

MOST_AT_ONCE = 32
"""Requests to one issuer's endpoints that may be under way."""
ASK_TIME = 8.0
"""Seconds for one of them in all."""
_OK, _CLIENT_ERRORS = 200, range(400, 500)
_TOO_MANY = 429
_LAST_SECOND = 2**31


class Tokens(msgspec.Struct, frozen=True):
    """What a token endpoint gave; well formed, and none of it verified."""

    unverified_id_token: str | None
    access_token: str
    refresh_token: str | None
    expires_in: int | None
    """Seconds that the access token counts, as the issuer says."""


class GrantDenied(msgspec.Struct, frozen=True):
    """The issuer does not give tokens for this; `error` is its word for why (RFC 6749 §5.2)."""

    error: str
    cause: str


class Away(msgspec.Struct, frozen=True):
    """The issuer did not answer, or with nothing that could be understood."""

    cause: str


class Endpoints:
    """One issuer's endpoints, for one client.

    Args:
        fetcher: asks its servers, and never the same thing twice.
        client: who we are there.
        wall: seconds since 1970.
    """

    def __init__(self, fetcher: Fetcher, client: ClientAuthentication, wall: Callable[[], float] = time.time) -> None:
        self._fetcher = fetcher
        self._client = client
        self._wall = wall
        self._under_way = 0

    async def grant(self, metadata: Metadata, form: Mapping[str, str]) -> Tokens | GrantDenied | Away:
        """Tokens for a grant. `form`: the parameters, without the client's own."""
        endpoint = metadata.endpoint("token_endpoint", by_certificate=self._client.by_certificate)
        if endpoint is None:
            return Away("the issuer names no `token_endpoint`")
        shown = self._client.show(endpoint, self._wall())
        answer = await self._ask(endpoint, {**form, **shown.form}, shown.headers)
        if isinstance(answer, Away):
            return answer
        try:
            said = read_object(answer.body)
        except MalformedError as wrong:
            return Away(f"{endpoint} answered {answer.status} with no JSON object: {wrong}")
        if answer.status == _OK:
            return _tokens(said, endpoint)
        error = said.get("error")
        if answer.status in _CLIENT_ERRORS and answer.status != _TOO_MANY and isinstance(error, str):
            about = printable(str(said.get("error_description", "")))
            return GrantDenied(printable(error), f"{endpoint} answered {printable(error)}: {about}")
        return Away(f"{endpoint} answered {answer.status}")

    async def userinfo(self, metadata: Metadata, access_token: str) -> Mapping[str, Any] | Away:
        """What the issuer says about who an access token is for."""
        endpoint = metadata.userinfo_endpoint
        if endpoint is None:
            return Away("the issuer names no `userinfo_endpoint`, and `login[].userinfo` asks for it")
        answer = await self._ask(endpoint, {}, {"Authorization": f"Bearer {access_token}"})
        if isinstance(answer, Away):
            return answer
        if answer.status != _OK or answer.media_type != "application/json":
            return Away(f"{endpoint} answered {answer.status} with {printable(answer.media_type)}")
        try:
            return read_object(answer.body)
        except MalformedError as wrong:
            return Away(f"{endpoint} answered with no JSON object: {wrong}")

    async def _ask(self, endpoint: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer | Away:
        if self._under_way >= MOST_AT_ONCE:
            return Away(f"{self._under_way} requests to the issuer are under way already")
        self._under_way += 1
        # In a task of its own: a request runs without one at first, and timeouts and aiohttp want one to cancel.
        asking = asyncio.get_running_loop().create_task(self._fetcher.post(endpoint, form, headers))
        try:
            await asyncio.wait((asking,), timeout=ASK_TIME)
            return asking.result() if asking.done() else Away(f"{endpoint} did not answer within {ASK_TIME:g} s")
        except FetchError as wrong:
            return Away(str(wrong))
        finally:
            asking.cancel()
            self._under_way -= 1


def _tokens(said: Mapping[str, Any], endpoint: str) -> Tokens | Away:
    """A successful answer, strictly read (RFC 6749 §5.1)."""
    token_type, expires_in = said.get("token_type"), said.get("expires_in")
    if not isinstance(token_type, str) or token_type.lower() not in ("bearer", "dpop"):
        return Away(f"{endpoint} gave a token of a type that is not understood")
    for name in ("id_token", "access_token", "refresh_token"):
        value = said.get(name)
        absent = value is None and name != "access_token"
        if not absent and not (isinstance(value, str) and 0 < len(value) <= MAXIMUM_TOKEN and value.isascii()):
            return Away(f"{endpoint} gave no usable `{name}`")
    lasts = isinstance(expires_in, int) and not isinstance(expires_in, bool) and 0 <= expires_in < _LAST_SECOND
    return Tokens(said.get("id_token"), said["access_token"], said.get("refresh_token"), expires_in if lasts else None)
