"""What each route demands and whom it trusts, made once from the configuration; what it leaves open stops the start."""

import difflib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ztproxy.config.routes import Route
from ztproxy.config.settings import Settings
from ztproxy.identity.authorities import der_of, read_authorities
from ztproxy.identity.errors import IdentityConfigError
from ztproxy.identity.metadata import is_https


class Demands(msgspec.Struct, frozen=True):
    """One route's demands."""

    certificate: bool
    token: bool
    issuers: frozenset[str]
    """Whose tokens count; empty: tokens are not looked at."""
    authorities: frozenset[bytes]
    """Whose certificates count, as DER."""


def demands_of(settings: Settings) -> Mapping[str, Demands]:
    """Every route's demands by its name. Raises `IdentityConfigError`."""
    _check_issuers(settings)
    introspecting = frozenset(issuer.issuer for issuer in settings.issuers if issuer.introspection is not None)
    listed = {path: None for listener in settings.listeners for path in listener.client_certificates.authorities}
    return {
        route.name: Demands(
            certificate="certificate" in route.require,
            token="token" in route.require,
            issuers=_issuers_of(route, [issuer.issuer for issuer in settings.issuers], introspecting),
            authorities=_authorities_of(route, list(listed)),
        )
        for route in settings.routes
    }


def _check_issuers(settings: Settings) -> None:
    seen: set[str] = set()
    for issuer in settings.issuers:
        key = f"issuers[{issuer.issuer}]"
        if issuer.issuer in seen:
            raise IdentityConfigError(key, "this issuer is configured twice")
        seen.add(issuer.issuer)
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
    if "token" in route.require and not named:
        raise IdentityConfigError(key, "a token is required, but nobody's tokens count here")
    return frozenset(named)


def _authorities_of(route: Route, listed: list[Path]) -> frozenset[bytes]:
    key = f"routes[{route.name}].authorities"
    if route.authorities is None and len(listed) > 1:
        raise IdentityConfigError(key, "several authorities are configured: say whose certificates count here")
    if "certificate" in route.require and not listed:
        raise IdentityConfigError(
            f"routes[{route.name}].require", "a certificate is required, but no listener asks for one"
        )
    if route.authorities is not None and not route.authorities:
        raise IdentityConfigError(key, "no authority is named: nobody with a certificate could come in")
    named = listed if route.authorities is None else route.authorities
    return frozenset().union(*(der_of(read_authorities(path, key)) for path in named))
