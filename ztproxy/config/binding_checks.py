"""What single values of `dpop` and `binding` cannot show: demands that nobody can meet, stores that cannot agree."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from ztproxy.config.dpop import Dpop
from ztproxy.config.settings import Settings, is_local_host

Place = tuple[str | int, ...]


def binding_contradictions(settings: Settings, workers: int) -> Iterator[tuple[Place, str]]:
    """Each contradiction and the key that it stands at; `workers`: how many processes serve."""
    if settings.dpop is not None:
        yield from _replay(settings.dpop, workers)
    asks = any(listener.client_certificates.mode != "off" for listener in settings.listeners)
    demands = [(("issuers", index, "binding"), issuer.binding) for index, issuer in enumerate(settings.issuers)]
    demands += [(("routes", index, "binding"), route.binding) for index, route in enumerate(settings.routes)]
    for at, binding in demands:
        if binding in ("dpop", "both") and settings.dpop is None:
            yield at, "no token can be bound by DPoP without a section `dpop`"
        if binding in ("certificate", "both") and not asks:
            yield at, "tokens have to be bound to a client certificate, but no listener asks for one"
        if binding == "any" and settings.dpop is None and not asks:
            yield at, "tokens have to be bound, but there is no section `dpop` and no listener asks for certificates"
    for index, route in enumerate(settings.routes):
        if route.binding != "none" and route.issuers == ():
            yield ("routes", index, "binding"), "nobody's tokens count here, so none can be bound"


def _replay(dpop: Dpop, workers: int) -> Iterator[tuple[Place, str]]:
    at = ("dpop", "replay")
    shared = dpop.replay.startswith("redis")
    if workers > 1 and dpop.replay == "memory://":
        yield (
            (at if "replay" in dpop.model_fields_set else ("dpop",)),
            (f"{workers} workers would each let a proof in once: say `replay: machine://` under `dpop`"),
        )
    if dpop.password is not None and not shared:
        yield ("dpop", "password"), f"{dpop.replay.partition('://')[0]}:// takes no password"
    if shared:
        yield from _redis(dpop, at)


def _redis(dpop: Dpop, at: Place) -> Iterator[tuple[Place, str]]:
    try:
        url = urlsplit(dpop.replay)
        host, _ = url.hostname, url.port
    except ValueError as wrong:
        yield at, f"cannot be read: {wrong}"
        return
    if not host:
        yield at, "names no host"
    elif url.scheme == "redis" and not is_local_host(host):
        yield at, "plain redis:// on loopback only: who can change its answers can use proofs again; say rediss://"
    if url.password:
        yield at, "a password does not stand in the configuration: use `dpop.password`"
    if dpop.nonce == "required" and dpop.secret is None:
        yield ("dpop", "nonce"), "machines that share a redis must know each other's nonces: set `dpop.secret`"
