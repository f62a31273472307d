"""What the program says when it starts: what listens where, with which trust, and what is unsafe."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from ztproxy.config.routes import Route
from ztproxy.config.settings import ClientCertificates, Listener, Settings, is_local, is_local_host
from ztproxy.config.spiffe_ids import SCHEME
from ztproxy.parts import Parts
from ztproxy.spiffe.workload import Workload
from ztproxy.writable import unwritable


def summary(parts: Parts, addresses: Sequence[str]) -> Iterator[str]:
    """The lines of the start-up summary.

    Args:
        parts: what serves.
        addresses: where the listeners really listen, in the settings' order.
    """
    settings = parts.settings
    for listener, address in zip(settings.listeners, addresses, strict=True):
        yield f"listening on {listener.protocol}://{address}  {_trust(listener)}"
    for issuer in settings.issuers:
        keys = issuer.jwks_uri or ("its bundle" if issuer.issuer.startswith(SCHEME) else "discovery")
        yield f"issuer {issuer.issuer}  audiences {', '.join(issuer.audiences)}, {'/'.join(issuer.algorithms)}, {keys}"
    if parts.workload is not None:
        yield _workload(parts.workload)
    yield from parts.identity.summary()
    where = settings.policy.path if settings.policy.engine == "embedded" else settings.policy.server.url
    revision = parts.engine.revision[:12]
    yield f"policy {where}  {settings.policy.engine}, revision {revision}, {settings.policy.entrypoint}"
    for route in settings.routes:
        demands = " and ".join(route.require) or "nothing but the policy"
        hosts = ", ".join(f"{host}{path}" for host in route.hosts for path in route.paths)
        yield f"route {route.name}  {hosts} → {_destination(route)}, requires {demands}"
    for warning in warnings(parts):
        yield f"warning: {warning}"


def _workload(workload: Workload) -> str:
    ours = "no SVID of our own" if workload.svid is None else workload.svid.spiffe_id
    bundles = ", ".join(f"{name} ({len(bundle.authorities)})" for name, bundle in workload.bundles.items())
    return f"workload {ours}  from {workload.source}, bundles (authorities) of {bundles}"


def _destination(route: Route) -> str:
    if route.redirect is not None:
        return f"redirect to {route.redirect.to}"
    return ", ".join(route.served_by.urls)


def _trust(listener: Listener) -> str:
    if listener.protocol == "http":
        return "redirects to https" if listener.redirect_to_https else "plaintext"
    asked = listener.client_certificates
    version = listener.minimum_version or ("1.2" if asked.mode == "off" else "1.3")
    if asked.mode == "off":
        return f"TLS {version} or newer, no client certificates"
    files = ", ".join((*(file.name for file in asked.authorities), *asked.trust_domains))
    return f"TLS {version} or newer, client certificates {asked.mode}, of {files}, {_revocation(asked)}"


def _revocation(asked: ClientCertificates) -> str:
    said = []
    if asked.crl:
        said.append(f"{len(asked.crl)} revocation lists")
    if asked.revocation:
        said.append(f"revocation known of {', '.join(one.authority.name for one in asked.revocation)}")
    return ", ".join(said) or "no revocation lists"


def warnings(parts: Parts) -> Iterator[str]:
    """What is allowed but unsafe."""
    settings = parts.settings
    for contexts in parts.contexts:
        yield from contexts.warnings if contexts is not None else ()
    for listener in settings.listeners:
        yield from _listener_warnings(listener)
    if (settings.issuers or _fetches(settings)) and (why := unwritable(settings.state, folder=True)):
        kept = "issuers' keys" if settings.issuers else "what is known of revoked certificates"
        yield f"state: {why}; {kept} cannot be kept there for a restart during an outage"
    if settings.logs.decisions is not None and not settings.decisions.required:
        why = unwritable(settings.logs.decisions)
        yield from [f"logs.decisions: {why}; decisions are not recorded, and requests pass all the same"] if why else []
    if settings.policy.allow_builtins:
        yield f"the policy may call {', '.join(settings.policy.allow_builtins)}, which reach outside"
    if settings.policy.show_reasons:
        yield "policy.show_reasons: the refused see the policy's reasons"
    for route in settings.routes:
        yield from _route_warnings(settings, route)


def _fetches(settings: Settings) -> bool:
    return any(
        one.crl_urls or one.ocsp_urls or one.follow
        for listener in settings.listeners
        for one in listener.client_certificates.revocation
    )


def _listener_warnings(listener: Listener) -> Iterator[str]:
    if listener.allow_plaintext and not is_local(listener.address):
        yield f"{listener.address}: plaintext; whoever is on the way reads tokens"
    for network in listener.trusted_proxies:
        if network.prefixlen == 0:
            yield f"{listener.address}: trusted_proxies {network} lets anyone say where a request comes from"
    asked = listener.client_certificates
    if asked.on_unknown == "allow" and asked.crl:
        yield f"{listener.address}: certificates are accepted while their revocation list is missing or stale"
    for one in asked.revocation:
        if (one.on_unknown or asked.on_unknown) == "allow":
            name = one.authority.name
            yield f"{listener.address}: certificates of {name} are accepted while it is not known what it revoked"


def _route_warnings(settings: Settings, route: Route) -> Iterator[str]:
    if not route.require:
        yield f"route {route.name}: neither certificate nor token is demanded; the policy alone decides"
    if not (route.limits or settings.limits.rules):
        yield f"route {route.name}: no limits"
    if route.forward_token:
        yield f"route {route.name}: the upstream gets bearer tokens that are good elsewhere too"
    for server in route.upstream.urls if route.upstream is not None else ():
        parts = urlsplit(server)
        if parts.scheme == "http" and not is_local_host(parts.hostname or ""):
            yield f"route {route.name}: {server} is reached in plaintext over the network"
