"""What keeps a worker from doing its job, as `/readyz` tells it."""

from collections import defaultdict
from collections.abc import Iterator

from ztproxy.serve import Server
from ztproxy.upstream import Upstreams


def unready(server: Server) -> Iterator[str]:
    """Each thing that is not ready; nothing when all is."""
    serving = server.serving
    if serving is None:
        yield "no configuration serves yet"
        return
    parts = serving.parts
    yield from parts.identity.unready()
    yield from _without_servers(parts.upstreams)
    if parts.limits.storage_up is False:
        yield "limits: the shared storage does not answer"


def _without_servers(upstreams: Upstreams) -> Iterator[str]:
    """Routes of which no server is healthy; one that is only left out for a while is not counted as down."""
    by_route: defaultdict[str, list[bool]] = defaultdict(list)
    for state in upstreams.view():
        by_route[state.route].append(state.healthy)
    for route, healthy in by_route.items():
        if not any(healthy):
            yield f"route {route}: no server is healthy"
