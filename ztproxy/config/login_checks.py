"""What logins need of the rest of the configuration, and what would give a login away."""

import os
from collections.abc import Iterator

from ztproxy.config.login import Login
from ztproxy.config.settings import Settings, is_published
from ztproxy.config.spiffe_ids import SCHEME

Place = tuple[str | int, ...]


def login_contradictions(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Each contradiction and the key that it stands at."""
    seen: set[str] = set()
    for index, login in enumerate(settings.login):
        at = ("login", index)
        yield from _issuer(settings, login, at)
        if login.issuer in seen:
            yield (*at, "issuer"), "people log in at this issuer by another entry already"
        seen.add(login.issuer)
        if login.host is not None:
            yield from _login_host(settings, login, (*at, "host"))
        secret = login.client_secret
        if secret is not None and secret.env is not None and not os.environ.get(secret.env):
            yield (*at, "client_secret", "env"), f"the environment has no {secret.env}"
    yield from _routes(settings)
    yield from _plaintext(settings)


def _issuer(settings: Settings, login: Login, at: Place) -> Iterator[tuple[Place, str]]:
    issuers = [issuer.issuer for issuer in settings.issuers]
    if login.issuer not in issuers:
        known = f"; configured: {', '.join(issuers)}" if issuers else "; none is configured"
        yield (*at, "issuer"), f"no issuer {login.issuer} is configured{known}"
    elif login.issuer.startswith(SCHEME):
        yield (*at, "issuer"), "nobody logs in at a trust domain: it vouches for workloads"
    if all(route.login != login.issuer for route in settings.routes):
        yield at, f"no route names this login: say `login: {login.issuer}` on those that people log in for"


def _login_host(settings: Settings, login: Login, at: Place) -> Iterator[tuple[Place, str]]:
    """The central login host is one that we serve, with this login: its session is like any other."""
    host = (login.host or "").partition(":")[0]
    if not any(host in route.hosts and route.login == login.issuer for route in settings.routes):
        yield at, f"no route with `login: {login.issuer}` has the host {host}, by its exact name"
    for other in settings.login:
        if other is not login and other.host == login.host:
            yield at, f"people log in at {other.issuer} on this host too: one central host for each login"
            return


def _routes(settings: Settings) -> Iterator[tuple[Place, str]]:
    for index, route in enumerate(settings.routes):
        if route.login is not None and "*" in route.hosts:
            at = ("routes", index, "hosts", route.hosts.index("*"))
            yield (
                at,
                'logins are handed to the host that was asked for: name the hosts, "*" is any that somebody makes up',
            )


def _plaintext(settings: Settings) -> Iterator[tuple[Place, str]]:
    """A session's cookie needs TLS: a browser would not keep it, and anybody on the way could read it."""
    for index, listener in enumerate(settings.listeners):
        if listener.protocol == "https" or listener.redirect_to_https or listener.trusted_proxies:
            continue
        for route in settings.routes:
            if route.login is not None and is_published(route, listener):
                said = f"people log in over https only, and route {route.name} has `login`: keep it off this listener"
                remedy = " (its `listeners`), use https, or name the `trusted_proxies` that end TLS before it"
                yield ("listeners", index, "protocol"), said + remedy
                break
