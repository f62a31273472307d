"""What some routes ask of a request before anybody is asked who sends it; made only where a route asks for it."""

from collections.abc import Iterable, Mapping

import msgspec

from ztproxy.config.routes import Route
from ztproxy.config.streams import WEBSOCKET
from ztproxy.model import Answer, Arrived, Preflight, Reason, Refusal, Routed
from ztproxy.routing import Routing
from ztproxy.routing.preflight import Meeting, is_question, meeting

_NOT_HERE = Refusal(
    Reason.REQUEST_MALFORMED, "an Upgrade to a protocol that this route does not let through", close=True
)


class Particular(msgspec.Struct, frozen=True):
    """Routing, and after it what the request's own route lets through."""

    routing: Routing
    upgrades: Mapping[str, frozenset[str]]
    """By route: the protocols that a request may switch to."""
    questions: Mapping[str, Meeting]
    """By route that pages of other origins may use: how it meets a browser's question."""

    def route(self, arrived: Arrived) -> Routed | Refusal | Answer | Preflight:
        """The request's route, why it is none of that route's, or the answer to a browser's question."""
        routed = self.routing.route(arrived)
        if isinstance(routed, Refusal):
            return routed
        if arrived.upgrade is not None and arrived.upgrade not in self.upgrades[routed.route]:
            return _NOT_HERE
        if arrived.method == "OPTIONS" and is_question(arrived):
            meet = self.questions.get(routed.route)
            if meet is not None:
                return meet(arrived, routed.route)
        return routed


def build(routes: Iterable[Route]) -> Routing | Particular:
    """The routes as configured; plain routing wherever no route asks for more."""
    routes = tuple(routes)
    plain = Routing.build(routes)
    if all(route.upgrades == (WEBSOCKET,) and route.cors is None for route in routes):
        return plain
    return Particular(
        plain,
        {route.name: frozenset(route.upgrades) for route in routes},
        {route.name: meeting(route.cors) for route in routes if route.cors is not None},
    )
