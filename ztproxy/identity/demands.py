"""What each route demands and whom it trusts, made once from the configuration; what it leaves open stops the start."""

import difflib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ztproxy.config.dpop import Binding
from ztproxy.config.routes import Route
from ztproxy.config.settings import Settings
from ztproxy.config.spiffe_ids import SCHEME
from ztproxy.config.workload_checks import accepted
from ztproxy.identity.certificates.authorities import der_of, read_authorities
from ztproxy.identity.certificates.workloads import Workloads
from ztproxy.identity.challenge import BEARER, Schemes
from ztproxy.identity.errors import IdentityConfigError
from ztproxy.identity.issuers.metadata import is_https
from ztproxy.identity.sessions.cross_site import Crossing, crossing
from ztproxy.identity.tokens.binding import joined
from ztproxy.spiffe.workload import Workload


class Demands(msgspec.Struct, frozen=True):
    """One route's demands."""

    certificate: bool
    token: bool
    issuers: frozenset[str]
    """Whose tokens count; empty: tokens are not looked at."""
    authorities: frozenset[bytes]
    """Whose certificates count, as DER."""
    bindings: Mapping[str, Binding] = {}
    """By issuer: what its tokens have to be bound to here."""
    schemes: Schemes = BEARER
    """What a token may be presented under."""
    workloads: Workloads | None = None
    """Which workloads count; None where there is no workload identity."""
    login: str | None = None
    """The issuer whose sessions count; None: cookies are not looked at."""
    binding: Binding = "none"
    """What a session has to be bound to."""
    crossing: Crossing = crossing(None)
    """What a session does not stand for, because another site's page asks."""


def demands_of(settings: Settings, workload: Workload | None = None) -> Mapping[str, Demands]:
    """Every route's demands by its name. Raises `IdentityConfigError`."""
    _check_issuers(settings)
    issuers = {issuer.issuer: issuer.binding for issuer in settings.issuers}
    listed = {path: None for listener in settings.listeners for path in listener.client_certificates.authorities}
    return {route.name: _demands_of(route, settings, issuers, list(listed), workload) for route in settings.routes}


def _demands_of(
    route: Route, settings: Settings, issuers: Mapping[str, Binding], listed: list[Path], workload: Workload | None
) -> Demands:
    introspecting = frozenset(issuer.issuer for issuer in settings.issuers if issuer.introspection is not None)
    counting = _issuers_of(route, list(issuers), introspecting)
    bindings = {issuer: joined(route.binding, issuers[issuer]) for issuer in counting}
    return Demands(
        certificate="certificate" in route.require,
        token="token" in route.require,
        issuers=counting,
        authorities=_authorities_of(route, listed, asked_by_domain=bool(accepted(settings))),
        bindings=bindings,
        schemes=_schemes(settings, set(bindings.values())),
        workloads=None if workload is None else _workloads_of(route, settings, workload),
        login=route.login,
        binding=route.binding,
        crossing=crossing(route.cors),
    )


def _schemes(settings: Settings, bindings: set[Binding]) -> Schemes:
    """Those under which a token can meet what is demanded."""
    if settings.dpop is None:
        return BEARER
    return Schemes(not bindings or bool(bindings - {"dpop", "both"}), " ".join(settings.dpop.algorithms))


def _workloads_of(route: Route, settings: Settings, workload: Workload) -> Workloads:
    """All workloads of the listeners' trust domains count where a route names neither workloads nor authorities."""
    if route.spiffe_ids is not None:
        return Workloads(workload.vouching(), route.spiffe_ids, tokens=True)
    everyone = () if route.authorities is not None else tuple(f"{SCHEME}{name}/**" for name in accepted(settings))
    return Workloads(workload.vouching(), everyone, tokens=False)


def _check_issuers(settings: Settings) -> None:
    seen: set[str] = set()
    for issuer in settings.issuers:
        key = f"issuers[{issuer.issuer}]"
        if issuer.issuer in seen:
            raise IdentityConfigError(key, "this issuer is configured twice")
        seen.add(issuer.issuer)
        if issuer.issuer.startswith(SCHEME):
            continue  # verified by its trust domain's bundle
        if not is_https(issuer.issuer) or "?" in issuer.issuer:
            raise IdentityConfigError(
                f"{key}.issuer", "an issuer is an https URL without query; its keys decide who may enter"
            )
        if issuer.jwks_uri is not None and not is_https(issuer.jwks_uri):
            raise IdentityConfigError(f"{key}.jwks_uri", "keys are fetched over https only")


def _issuers_of(route: Route, configured: list[str], introspecting: frozenset[str]) -> frozenset[str]:
    key = f"routes[{route.name}].issuers"
    if route.issuers is None and len(configured) > 1:
        raise IdentityConfigError(key, "several issuers are configured: say whose tokens count here; [] for nobody's")
    named = configured if route.issuers is None else route.issuers
    for issuer in named:
        if issuer not in configured:
            near = difflib.get_close_matches(issuer, configured, 1)
            raise IdentityConfigError(
                key, f"{issuer} is not among `issuers`" + (f"; is {near[0]} meant?" if near else "")
            )
    asked = [issuer for issuer in named if issuer in introspecting]
    if len(asked) > 1:
        raise IdentityConfigError(
            key, f"{' and '.join(asked)} are both asked about opaque tokens: which of them does one belong to?"
        )
    if "token" in route.require and not named and route.login is None:
        raise IdentityConfigError(key, "a token is required, but nobody's tokens count here")
    return frozenset(named)


def _authorities_of(route: Route, listed: list[Path], *, asked_by_domain: bool) -> frozenset[bytes]:
    key = f"routes[{route.name}].authorities"
    if route.authorities is None and route.spiffe_ids is not None:
        return frozenset()
    if route.authorities is None and len(listed) > 1:
        raise IdentityConfigError(key, "several authorities are configured: say whose certificates count here")
    if "certificate" in route.require and not listed and not asked_by_domain:
        raise IdentityConfigError(
            f"routes[{route.name}].require", "a certificate is required, but no listener asks for one"
        )
    if route.authorities is not None and not route.authorities:
        raise IdentityConfigError(key, "no authority is named: nobody with a certificate could come in")
    named = listed if route.authorities is None else route.authorities
    return frozenset().union(*(der_of(read_authorities(path, key)) for path in named))
