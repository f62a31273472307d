"""The caller's token, exchanged for one that a route's upstream takes (RFC 8693).

One exchange at a time for a token, a bounded number for all; what was obtained is remembered under the caller's token,
and used no longer than either counts. Where there is none, the request is refused: nothing takes its place.
"""

import asyncio
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ztproxy.config.token_exchange import TokenExchange
from ztproxy.identity.exchange.answer import TYPES, Issued, of_the_caller, read_answer, unavailable
from ztproxy.identity.issuers.client_authentication import ClientAuthentication
from ztproxy.identity.issuers.fetching import Fetcher, FetchError
from ztproxy.identity.issuers.kept import Clock
from ztproxy.identity.tokens.unverified import under_scheme
from ztproxy.identity.waiting import end_of
from ztproxy.model import Arrived, Authorized, Refusal, Token

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
PAUSE = 5.0
"""Seconds that a refusal of the caller's token is remembered."""
MARGIN, SHARE = 30.0, 0.1
"""A token is renewed this many seconds, or this share of its lifetime, before its end; whichever is less."""
MAXIMUM_REMEMBERED = 4096
MAXIMUM_OCTETS = 8 * 1024 * 1024
Endpoint = Callable[[float], Awaitable[str | Refusal]]
"""Where tokens are exchanged, at a time on the monotonic clock."""


class _Known(NamedTuple):
    """How an exchange ended."""

    result: bytes | Refusal
    until: float
    """Seconds since 1970."""
    size: int


class Exchanger:
    """One route's. Made within no event loop; `close` within the one that it was used on.

    Args:
        configured: what is asked for.
        client: how we show who we are.
        fetcher: asks the endpoint.
        endpoint: where it is.
        clock: what time it is.
    """

    def __init__(
        self,
        configured: TokenExchange,
        client: ClientAuthentication,
        fetcher: Fetcher,
        endpoint: Endpoint,
        clock: Clock,
    ) -> None:
        self._configured = configured
        self._client = client
        self._fetcher = fetcher
        self._endpoint = endpoint
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._octets = 0
        self._under_way: dict[bytes, asyncio.Task[bytes | Refusal]] = {}
        self._closed = False

    async def of(self, authorized: Authorized, token: Token) -> bytes | Refusal:
        """The token for the upstream, in exchange for the caller's.

        Suspends only while there is none. Refuses with TOKEN_EXCHANGE_FAILED, or ISSUER_UNAVAILABLE.
        """
        known = self._known.get(token.digest)
        if known is not None and authorized.arrived.wall < known.until:
            return known.result
        task = self._under_way.get(token.digest)
        if task is None:
            presented = _presented(authorized.arrived, token)
            if presented is None:
                return of_the_caller("who asks presented no token that could be exchanged")
            if self._closed or len(self._under_way) >= self._configured.maximum:
                return unavailable("too many exchanges are under way")
            task = asyncio.get_running_loop().create_task(self._exchange(presented, token))
            self._under_way[token.digest] = task
            task.add_done_callback(lambda _: self._under_way.pop(token.digest, None))
        await end_of(task)
        return unavailable("the proxy is closing") if task.cancelled() else task.result()

    async def close(self) -> None:
        """Give up what is under way; whoever waits for it is refused."""
        self._closed = True
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._fetcher.close()

    async def _exchange(self, presented: bytes, token: Token) -> bytes | Refusal:
        """Ask, and remember what is worth it. Time counts from before it was asked."""
        began = self._clock.wall()
        try:
            async with asyncio.timeout(self._configured.timeout):
                issued = await self._ask(presented, began)
        except TimeoutError:
            return unavailable(f"no answer within {self._configured.timeout:g} s")
        except FetchError as wrong:
            return unavailable(str(wrong))
        if isinstance(issued, Refusal):
            if issued.status < 500:  # noqa: PLR2004 - it is about this token, not about the issuer's state
                self._remember(token.digest, _Known(issued, began + PAUSE, 0))
            return issued
        if issued.lifetime is not None:
            ends_at = began + issued.lifetime - min(MARGIN, issued.lifetime * SHARE)
            until = min(ends_at, token.expires_at, began + self._configured.maximum_age)
            self._remember(token.digest, _Known(issued.token, until, len(issued.token)))
        return issued.token

    async def _ask(self, presented: bytes, now: float) -> Issued | Refusal:
        endpoint = await self._endpoint(self._clock.monotonic())
        if isinstance(endpoint, Refusal):
            return endpoint
        shown = self._client.show(endpoint, now)
        form = [*self._form(presented), *shown.form.items()]
        answer = await self._fetcher.post(endpoint, form, shown.headers)
        return read_answer(answer, self._configured.requested_token_type, presented)

    def _form(self, presented: bytes) -> list[tuple[str, str]]:
        """The request's own parameters (§2.1)."""
        configured = self._configured
        form = [
            ("grant_type", GRANT),
            ("subject_token", presented.decode("ascii")),
            ("subject_token_type", TYPES["access_token"]),
            ("requested_token_type", TYPES[configured.requested_token_type]),
            *(("audience", audience) for audience in configured.audience),
            *(("resource", resource) for resource in configured.resource),
        ]
        return form if not configured.scope else [*form, ("scope", " ".join(configured.scope))]

    def _remember(self, digest: bytes, known: _Known) -> None:
        """Keep it until its end, and let the oldest go where there are too many."""
        if before := self._known.pop(digest, None):
            self._octets -= before.size
        self._known[digest] = known
        self._octets += known.size
        while len(self._known) > MAXIMUM_REMEMBERED or self._octets > MAXIMUM_OCTETS:
            self._octets -= self._known.popitem(last=False)[1].size


def _presented(arrived: Arrived, token: Token) -> bytes | None:
    """The token as received: the very one that was verified. A session's was not presented."""
    values = arrived.unverified_authorization
    if len(values) != 1:
        return None
    given = under_scheme(values[0], b"bearer") or under_scheme(values[0], b"dpop")
    if given is None or not hmac.compare_digest(hashlib.sha256(given).digest(), token.digest):
        return None
    return given
