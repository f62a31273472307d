"""What all parts of a login have in common: the issuers, the routes that people log in for, sessions, and the time."""

from collections.abc import Iterable, Mapping

import msgspec

from ztproxy.config.login import Login
from ztproxy.config.routes import Route
from ztproxy.identity.issuers.discovery import MetadataStore
from ztproxy.identity.issuers.kept import Clock
from ztproxy.identity.login.grants import Endpoints
from ztproxy.identity.sessions.service import Sessions
from ztproxy.identity.tokens.trusted import TrustedIssuer
from ztproxy.model import Arrived, StepUp
from ztproxy.store.records import Records
from ztproxy.store.ring import Ring


class LoginIssuer(msgspec.Struct, frozen=True):
    """One issuer that browsers log in at."""

    config: Login
    trusted: TrustedIssuer
    """Its keys verify ID tokens as they verify all others."""
    metadata: MetadataStore
    endpoints: Endpoints

    def wanted(self, policy: StepUp | None = None) -> StepUp:
        """What a login has to be like: as configured, and as the policy asks."""
        acr_values, ages = self.config.acr_values, []
        if self.config.max_age is not None:
            ages.append(int(self.config.max_age))
        if policy is not None:
            acr_values = policy.acr_values or acr_values
            ages += [] if policy.max_age is None else [policy.max_age]
        return StepUp(acr_values, min(ages, default=None))


class Context(msgspec.Struct, frozen=True):
    """What logins rest on."""

    issuers: Mapping[str, LoginIssuer]
    """By their names."""
    routes: Mapping[str, str]
    """The issuer of each route that people log in for, by the route's name."""
    hosts: frozenset[str]
    """Of these routes; `*.corp.example` is what lies below a name."""
    sessions: Sessions
    records: Records
    ring: Ring
    clock: Clock

    def counts(self, route: str, issuer: str, client_id: str) -> LoginIssuer | None:
        """The issuer, if this is still how people log in for a route."""
        found = self.issuers.get(issuer) if self.routes.get(route) == issuer else None
        return found if found is not None and found.config.client_id == client_id else None

    def logs_in_at(self, arrived: Arrived) -> bool:
        """Whether people log in for anything on the host that was asked."""
        _, _, rest = (host := arrived.host).partition(".")
        while host not in self.hosts and rest:
            host = f"*.{rest}"
            _, _, rest = rest.partition(".")
        return host in self.hosts


def hosts_of(routes: Iterable[Route]) -> frozenset[str]:
    """The hosts of the routes that people log in for."""
    return frozenset(host for route in routes if route.login is not None for host in route.hosts)
