"""What single values cannot show of what upstreams are told: claims that nobody signs, endpoints that nobody has."""

from collections.abc import Iterator, Mapping

from ztproxy.config.assertions import RouteAssertion
from ztproxy.config.settings import Settings
from ztproxy.config.spiffe_ids import SCHEME

Place = tuple[str | int, ...]


def telling_contradictions(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Each contradiction and the key that it stands at."""
    yield from _assertions(settings)
    yield from _exchanges(settings)


def _assertions(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Nothing is told where nobody signs, and no groups where no issuer has any."""
    listed: list[tuple[Place, Mapping[str, str]]] = []
    if settings.assertion is not None:
        listed.append((("assertion", "claims"), settings.assertion.claims))
    for index, route in enumerate(settings.routes):
        if route.assertion == RouteAssertion():
            continue
        at: Place = ("routes", index, "assertion")
        if settings.assertion is None:
            yield at, "there is no `assertion` section, so nothing is signed for any upstream"
        listed.append(((*at, "claims"), route.assertion.claims or {}))
    grouped = any(issuer.groups is not None for issuer in settings.issuers)
    for at, claims in listed:
        for name, source in claims.items():
            if source in ("token.groups", "token.roles") and not grouped:
                yield (*at, name), "no issuer has `groups`, so there are never any"


def _exchanges(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Whose endpoint exchanges is never guessed, and it is one whose tokens count on the route."""
    configured = [issuer.issuer for issuer in settings.issuers]
    for index, route in enumerate(settings.routes):
        exchange = route.token_exchange
        if exchange is None:
            continue
        at: Place = ("routes", index, "token_exchange")
        counting = configured if route.issuers is None else list(route.issuers)
        if exchange.issuer is not None and exchange.issuer not in configured:
            yield (*at, "issuer"), f"no issuer {exchange.issuer} is configured; configured: {', '.join(configured)}"
        elif exchange.issuer is None and len(counting) != 1:
            yield at, "several issuers' tokens count here: say in `issuer` whose endpoint exchanges them"
        elif (exchange.issuer or counting[0]).startswith(SCHEME) and exchange.token_endpoint is None:
            yield (*at, "token_endpoint"), "a trust domain has no discovery document that names it"
        if route.login is not None:
            yield at, "sessions hold no token that could be exchanged: a route with `login` has no `token_exchange`"
