"""Contradictions about workloads: trust domains that nobody vouches for, SVIDs that nobody hands out."""

from collections.abc import Iterable, Iterator

from ztproxy.config.routes import Route
from ztproxy.config.settings import Issuer, Settings
from ztproxy.config.spiffe_ids import SCHEME, trust_domain_of

Place = tuple[str | int, ...]


def contradictions(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Each contradiction and the key that it stands at."""
    yield from _listeners(settings)
    for index, issuer in enumerate(settings.issuers):
        if issuer.issuer.startswith(SCHEME):
            yield from _issuer(settings, ("issuers", index), issuer)
    for index, route in enumerate(settings.routes):
        yield from _published(settings, ("routes", index), route)
        yield from _workloads(settings, ("routes", index), route)
        yield from _upstream(settings, ("routes", index, "upstream", "tls"), route)


def accepted(settings: Settings) -> tuple[str, ...]:
    """Trust domains whose workloads some listener lets in."""
    named = (name for listener in settings.listeners for name in listener.client_certificates.trust_domains)
    return tuple(dict.fromkeys(named))


def _known(settings: Settings) -> tuple[str, ...]:
    return settings.spiffe.trust_domains if settings.spiffe is not None else ()


def _listeners(settings: Settings) -> Iterator[tuple[Place, str]]:
    seen: dict[str, int] = {}
    for index, listener in enumerate(settings.listeners):
        at = ("listeners", index)
        if listener.name is not None and seen.setdefault(listener.name, index) != index:
            yield (*at, "name"), f"listener {seen[listener.name]} has this name too"
        if listener.svid:
            yield from _has_svid(settings, (*at, "svid"))
        for position, name in enumerate(listener.client_certificates.trust_domains):
            yield from _is_known(settings, (*at, "client_certificates", "trust_domains", position), [name])


def _issuer(settings: Settings, at: Place, issuer: Issuer) -> Iterator[tuple[Place, str]]:
    yield from _is_known(settings, (*at, "issuer"), [trust_domain_of(issuer.issuer)])
    for key in ("jwks_uri", "authorities", "max_stale"):
        if key in issuer.model_fields_set:
            yield (*at, key), f"the keys of {issuer.issuer} come with its bundle (`spiffe`): `{key}` has no effect"
    if "EdDSA" in issuer.algorithms:
        yield (*at, "algorithms"), "no JWT-SVID is signed with EdDSA (JWT-SVID §2.1)"


def _published(settings: Settings, at: Place, route: Route) -> Iterator[tuple[Place, str]]:
    known = {name for listener in settings.listeners for name in (listener.label, str(listener.address))}
    for position, name in enumerate(route.listeners or ()):
        if name not in known:
            labels = ", ".join(listener.label for listener in settings.listeners)
            yield (*at, "listeners", position), f"no listener is called {name}; configured: {labels}"
    if route.listeners is not None and not route.listeners:
        yield (*at, "listeners"), "no listener is named: nobody could reach the route"
    tls = route.upstream.tls if route.upstream is not None else None
    if tls is not None and tls.svid and route.listeners is None and len(settings.listeners) > 1:
        # Whoever may come in by one listener would otherwise speak in our name through what is meant for another.
        yield (
            at,
            (
                f"route {route.name} speaks in our name (`svid: true`), and there are several listeners: "
                "`listeners` must say from which"
            ),
        )


def _workloads(settings: Settings, at: Place, route: Route) -> Iterator[tuple[Place, str]]:
    if route.spiffe_ids is None:
        return
    if not route.spiffe_ids:
        yield (*at, "spiffe_ids"), "no ID is named: no workload could come in"
    named = route.issuers if route.issuers is not None else [one.issuer for one in settings.issuers]
    tokens = [trust_domain_of(name) for name in named if name.startswith(SCHEME)]
    for position, pattern in enumerate(route.spiffe_ids):
        if trust_domain_of(pattern) not in {*accepted(settings), *tokens}:
            wanted = "no listener's `trust_domains` and no issuer of the route has it"
            yield (*at, "spiffe_ids", position), f"trust domain {trust_domain_of(pattern)}: {wanted}"


def _upstream(settings: Settings, at: Place, route: Route) -> Iterator[tuple[Place, str]]:
    tls = route.upstream.tls if route.upstream is not None else None
    if tls is None:
        return
    if tls.svid:
        yield from _has_svid(settings, (*at, "svid"))
    if tls.spiffe_ids is not None:
        yield from _is_known(settings, (*at, "spiffe_ids"), [trust_domain_of(one) for one in tls.spiffe_ids])


def _has_svid(settings: Settings, at: Place) -> Iterator[tuple[Place, str]]:
    if settings.spiffe is None or (settings.spiffe.svid is None and settings.spiffe.workload_api is None):
        yield at, "there is no SVID to show: `spiffe` names neither `svid` nor `workload_api`"


def _is_known(settings: Settings, at: Place, domains: Iterable[str]) -> Iterator[tuple[Place, str]]:
    known = _known(settings)
    for name in dict.fromkeys(domains):
        if name not in known:
            yield (
                at,
                f"trust domain {name} is neither `spiffe.trust_domain` nor among `spiffe.federated`"
                + (f"; configured: {', '.join(known)}" if known else "; there is no `spiffe`"),
            )
