"""Which routes exchange tokens, and where in a request's journey: behind the policy's yes, before the upstream."""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import msgspec

from ztproxy.config.routes import Route
from ztproxy.config.settings import Settings
from ztproxy.config.token_exchange import TokenExchange
from ztproxy.identity.certificates.authorities import trust_in
from ztproxy.identity.exchange.exchanger import Exchanger
from ztproxy.identity.issuers.client_authentication import ClientAuthentication
from ztproxy.identity.issuers.discovery import MetadataStore
from ztproxy.identity.issuers.fetching import Fetcher
from ztproxy.identity.issuers.kept import Clock
from ztproxy.model import Admitted, Arrived, Authorized, Decided, Reason, Refusal, Refused

Decide = Callable[[Arrived], Coroutine[Any, Any, Decided]]
_KEPT_OPEN = 4
"""Connections to an endpoint."""


class Exchanging(msgspec.Struct, frozen=True):
    """A pipeline behind which the tokens of some routes are exchanged."""

    decide: Decide
    exchangers: Mapping[str, Exchanger]
    """By route."""

    async def __call__(self, arrived: Arrived) -> Decided:
        """As the pipeline decides; whom it lets through goes on with a token for the upstream, or not at all."""
        outcome = await self.decide(arrived)
        if not isinstance(outcome, Authorized) or outcome.token is None:
            return outcome
        exchanger = self.exchangers.get(outcome.route)
        if exchanger is None:
            return outcome
        obtained = await exchanger.of(outcome, outcome.token)
        if not isinstance(obtained, Refusal):
            return msgspec.structs.replace(outcome, credentials=obtained)
        refusal = msgspec.structs.replace(obtained, decision=outcome.decision, limit=outcome.limit)
        at = Admitted(
            outcome.arrived, outcome.route, outcome.certificate, outcome.token, outcome.limit, outcome.response_fields
        )
        return Refused(refusal, at)


def exchanging(decide: Decide, exchangers: Mapping[str, Exchanger]) -> Decide:
    """The pipeline as it is, wherever no route exchanges tokens."""
    return Exchanging(decide, exchangers) if exchangers else decide


def exchangers_of(settings: Settings, metadata: Mapping[str, MetadataStore], clock: Clock) -> dict[str, Exchanger]:
    """By route that exchanges tokens. Raises `IdentityConfigError`."""
    return {
        route.name: _exchanger(route, route.token_exchange, settings, metadata, clock)
        for route in settings.routes
        if route.token_exchange is not None
    }


def _exchanger(
    route: Route, configured: TokenExchange, settings: Settings, metadata: Mapping[str, MetadataStore], clock: Clock
) -> Exchanger:
    key = f"routes[{route.name}].token_exchange"
    counting = [issuer.issuer for issuer in settings.issuers] if route.issuers is None else route.issuers
    name = configured.issuer or counting[0]
    authorities = next(issuer.authorities for issuer in settings.issuers if issuer.issuer == name)
    client = ClientAuthentication.build(configured, name, key)
    fetcher = Fetcher(trust_in(authorities, key, client.certificate), kept_open=_KEPT_OPEN)
    return Exchanger(
        configured, client, fetcher, partial(_endpoint, configured, client, metadata.get(name), clock), clock
    )


async def _endpoint(
    configured: TokenExchange,
    client: ClientAuthentication,
    metadata: MetadataStore | None,
    clock: Clock,
    monotonic: float,
) -> str | Refusal:
    if configured.token_endpoint is not None:
        return configured.token_endpoint
    if metadata is None:
        return Refusal(Reason.TOKEN_EXCHANGE_FAILED, cause="the issuer has no metadata that names its token endpoint")
    said = await metadata.get(clock.wall(), monotonic)
    if isinstance(said, Refusal):
        return said
    endpoint = said.endpoint("token_endpoint", by_certificate=client.by_certificate)
    if endpoint is None:
        return Refusal(Reason.TOKEN_EXCHANGE_FAILED, cause=f"{metadata.issuer} names no `token_endpoint`")
    return endpoint
