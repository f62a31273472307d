"""What single values cannot show: settings that contradict each other or leave trust unsaid."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ztproxy.config import workload_checks
from ztproxy.config.binding_checks import binding_contradictions
from ztproxy.config.login_checks import login_contradictions
from ztproxy.config.operation import worker_count
from ztproxy.config.routes import Route
from ztproxy.config.settings import Settings, is_local_host, is_published
from ztproxy.config.spiffe_ids import SCHEME
from ztproxy.config.telling_checks import telling_contradictions
from ztproxy.config.values import Secret, segments

Place = tuple[str | int, ...]


def contradictions(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Each contradiction and the key that it stands at."""
    yield from _listeners(settings)
    yield from _issuers(settings)
    yield from _policy(settings)
    yield from _limits(settings)
    for index, route in enumerate(settings.routes):
        at = ("routes", index)
        yield from _route_trust(settings, at, index)
        if route.cors is not None and route.cors.preflight == "forward" and not _bounds_sources(settings):
            wanted = "a rule keyed by source.address in `limits.rules` bounds what passes without identity"
            yield (*at, "cors", "preflight"), wanted
        if route.forward_token and not settings.issuers:
            yield (*at, "forward_token"), "no `issuers` are configured, so there is never a token to forward"
    yield from _overlaps(settings)
    yield from workload_checks.contradictions(settings)
    yield from shared_limits(settings, worker_count(settings.workers))
    yield from _sessions(settings, worker_count(settings.workers))
    yield from login_contradictions(settings)
    yield from binding_contradictions(settings, worker_count(settings.workers))
    if settings.dpop is not None:
        yield from _secret(settings.dpop.password, ("dpop", "password"))
        yield from _secret(settings.dpop.secret, ("dpop", "secret"))
    yield from _sticky(settings)
    yield from telling_contradictions(settings)
    if settings.decisions.required and settings.logs.decisions is None:
        yield ("decisions", "required"), "decisions are required, but `logs.decisions` names no file to record them in"


def _bounds_sources(settings: Settings) -> bool:
    return any(rule.keys == ("source.address",) and not rule.shadow for rule in settings.limits.rules)


def _listeners(settings: Settings) -> Iterator[tuple[Place, str]]:
    seen: dict[str, int] = {}
    for index, listener in enumerate(settings.listeners):
        if (first := seen.setdefault(str(listener.address), index)) != index:
            yield ("listeners", index, "address"), f"listener {first} has this address too"


def _issuers(settings: Settings) -> Iterator[tuple[Place, str]]:
    seen: set[str] = set()
    for index, issuer in enumerate(settings.issuers):
        if issuer.issuer in seen:
            yield ("issuers", index, "issuer"), "this issuer is configured twice"
        seen.add(issuer.issuer)
        for key, url in (("issuer", issuer.issuer), ("jwks_uri", issuer.jwks_uri)):
            if url is not None and urlsplit(url).scheme != "https" and not url.startswith(SCHEME):
                yield ("issuers", index, key), "an issuer is reached over https only: its keys decide who gets in"
        if issuer.introspection is not None:
            if issuer.issuer.startswith(SCHEME):
                yield ("issuers", index, "introspection"), "a trust domain is not asked about tokens"
            yield from _secret(issuer.introspection.client_secret, ("issuers", index, "introspection", "client_secret"))


def _policy(settings: Settings) -> Iterator[tuple[Place, str]]:
    policy = settings.policy
    if policy.engine == "embedded" and policy.path is None:
        yield ("policy", "path"), "no policy: name a directory with `policy.path`, or with --policy"
    if policy.engine == "server":
        url = urlsplit(policy.server.url)
        unix = url.scheme == "unix" and url.path.startswith("/") and not url.netloc
        if not unix and not (url.scheme in ("http", "https") and url.hostname):
            yield ("policy", "server", "url"), "an OPA server is http(s)://HOST:PORT or unix:/path"
        elif url.scheme == "http" and not is_local_host(url.hostname or ""):
            yield ("policy", "server", "url"), "plain http on loopback only: its answers decide who gets in"
        yield from _secret(policy.server.token, ("policy", "server", "token"))


def _limits(settings: Settings) -> Iterator[tuple[Place, str]]:
    limits = settings.limits
    yield from _secret(limits.password, ("limits", "password"))
    if limits.password is not None and not limits.storage.startswith("redis"):
        yield ("limits", "password"), f"{limits.storage.partition('://')[0]}:// takes no password"
    if urlsplit(limits.storage).password:
        yield ("limits", "storage"), "a password does not stand in the configuration: use `limits.password`"


def shared_limits(settings: Settings, workers: int) -> Iterator[tuple[Place, str]]:
    """What several workers cannot agree on: a rate that each of them counts for itself admits that many times it."""
    limits = settings.limits
    if workers < 2 or limits.storage != "memory://":  # noqa: PLR2004 - one worker shares with nobody
        return
    first: Place | None = ("limits", "rules", 0) if limits.rules else None
    for index, route in enumerate(settings.routes):
        if first is None and route.limits:
            first = ("routes", index, "limits", 0)
    if first is not None:
        at = ("limits", "storage") if "storage" in limits.model_fields_set else first
        yield at, f"{workers} workers would each admit the whole rate: say `storage: machine://` under `limits`"


def _sessions(settings: Settings, workers: int) -> Iterator[tuple[Place, str]]:
    """What sessions need: storage that all workers share, and logins whose issuer's word is understood."""
    sessions = settings.sessions
    yield from _secret(sessions.password, ("sessions", "password"))
    if settings.login and workers > 1 and sessions.storage == "memory://":
        at = ("sessions", "storage") if "storage" in sessions.model_fields_set else ("login",)
        wanted = "say `storage: sqlite:var/sessions.db` under `sessions`, or `workers: 1`"
        yield at, f"{workers} workers would each know other sessions: {wanted}"
    for index, route in enumerate(settings.routes):
        if route.login is None or route.binding == "none":
            continue
        if route.binding in ("dpop", "both"):
            yield ("routes", index, "login"), f"with `binding: {route.binding}` no session ever counts: none has proofs"
        elif not sessions.bind_certificate:
            yield ("routes", index, "login"), f"`binding: {route.binding}` needs `sessions.bind_certificate: true`"


def _secret(secret: Secret | None, at: Place) -> Iterator[tuple[Place, str]]:
    if secret is not None and secret.env is not None and not os.environ.get(secret.env):
        yield (*at, "env"), f"the environment has no {secret.env}"


def _route_trust(settings: Settings, at: Place, index: int) -> Iterator[tuple[Place, str]]:
    """Whose tokens and certificates count on a route is never guessed among several."""
    route = settings.routes[index]
    issuers = [issuer.issuer for issuer in settings.issuers]
    for position, name in enumerate(route.issuers or ()):
        if name not in issuers:
            yield (*at, "issuers", position), f"no issuer {name} is configured" + _of(issuers)
    if route.issuers is None and len(issuers) > 1:
        yield at, f"route {route.name}: several issuers are configured, so `issuers` must say whose tokens count here"
    logins = [login.issuer for login in settings.login]
    if route.login is not None and route.login not in logins:
        yield (*at, "login"), f"no login at {route.login} is configured" + _of(logins)
    if "token" in route.require and not (issuers if route.issuers is None else route.issuers) and not route.login:
        yield (*at, "require"), "a token is required, but no issuer's tokens count here"
    named = issuers if route.issuers is None else route.issuers
    asked = [one.issuer for one in settings.issuers if one.introspection is not None and one.issuer in named]
    if len(asked) > 1:
        wrong = (
            f"{' and '.join(asked)} are both asked about opaque tokens, and which of them one belongs to is not said"
        )
        yield (*at, "issuers"), wrong
    authorities = _authorities(settings)
    domains = workload_checks.accepted(settings)
    for position, file in enumerate(route.authorities or ()):
        if file not in authorities:
            yield (*at, "authorities", position), f"no listener asks for certificates of {file}" + _of(authorities)
    if route.authorities is None and route.spiffe_ids is None and len(authorities) + len(domains) > 1:
        said = (
            "several trust domains, or authorities beside one, are configured, so `spiffe_ids` or `authorities`"
            if domains
            else "several authorities are configured, so `authorities`"
        )
        yield at, f"route {route.name}: {said} must say whose count here"
    unsaid = route.authorities is None and route.spiffe_ids is None
    counting = [*authorities, *domains] if unsaid else [*(route.authorities or ()), *(route.spiffe_ids or ())]
    if "certificate" in route.require and not counting:
        yield (*at, "require"), "a certificate is required, but no authority's certificates count here"


def _of(known: list[str] | list[Path]) -> str:
    return f"; configured: {', '.join(map(str, known))}" if known else "; none is configured"


def _authorities(settings: Settings) -> list[Path]:
    named = (listener.client_certificates.authorities for listener in settings.listeners)
    return list(dict.fromkeys(itertools.chain.from_iterable(named)))


def _overlaps(settings: Settings) -> Iterator[tuple[Place, str]]:
    names: set[str] = set()
    published: dict[tuple[str, str, tuple[str, ...]], str] = {}
    for index, route in enumerate(settings.routes):
        if route.name in names:
            yield ("routes", index, "name"), f"another route is named {route.name} too"
        names.add(route.name)
        taken: dict[str, None] = {}  # once, however many listeners have both
        for listener, host, path in itertools.product(_listeners_of(route, settings), route.hosts, route.paths):
            if (other := published.setdefault((listener, host, segments(path)), route.name)) != route.name:
                taken[f"{host}{path} belongs to the route {other} already"] = None
        yield from ((("routes", index, "paths"), problem) for problem in taken)


def _listeners_of(route: Route, settings: Settings) -> list[str]:
    """By address: where a route is published."""
    return [str(one.address) for one in settings.listeners if is_published(route, one)]


def _sticky(settings: Settings) -> Iterator[tuple[Place, str]]:
    """A browser has one cookie of a name for a host: two upstreams would take it from each other, again and again."""
    owners: dict[tuple[str, str], tuple[str, frozenset[str]]] = {}
    for index, route in enumerate(settings.routes):
        upstream = route.upstream
        sticky = None if upstream is None else upstream.sticky
        if upstream is None or sticky is None:
            continue
        for host in route.hosts:
            servers = frozenset(upstream.urls)
            name, others = owners.setdefault((host, sticky.cookie), (route.name, servers))
            if others != servers:
                at = ("routes", index, "upstream", "sticky")
                yield at, f"the route {name} has a cookie {sticky.cookie} on {host} too, for other servers"
