"""Routes that are published on some listeners only; made only where a route says so.

What is not published on a listener is not there for whoever comes in by it: not refused, but not found.
"""

from collections.abc import Iterable, Mapping

import msgspec

from ztproxy.config.routes import Route
from ztproxy.config.settings import Listener, is_published
from ztproxy.model import Answer, Arrived, Preflight, Refusal, Routed
from ztproxy.routing import Routing, particular
from ztproxy.routing.particular import Particular


class ByListener(msgspec.Struct, frozen=True):
    """The routes of each listener."""

    routings: Mapping[str, Routing | Particular]
    """By the listener's address as configured."""

    def route(self, arrived: Arrived) -> Routed | Refusal | Answer | Preflight:
        """The request's route among those of the listener that it came in by."""
        return self.routings[arrived.connection.listener].route(arrived)


def build(routes: Iterable[Route], listeners: Iterable[Listener]) -> Routing | Particular | ByListener:
    """The routes as configured; the same for every listener wherever no route names any."""
    routes = tuple(routes)
    if all(route.listeners is None for route in routes):
        return particular.build(routes)
    return ByListener(
        {
            str(listener.address): particular.build(route for route in routes if is_published(route, listener))
            for listener in listeners
        }
    )
