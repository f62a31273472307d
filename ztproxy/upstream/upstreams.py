"""All routes' upstreams: where an authorised request is handed to."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Self

from ztproxy.config.settings import Route, Settings
from ztproxy.exchange import Client
from ztproxy.model import Authorized
from ztproxy.turn import turn_of
from ztproxy.upstream.assertion import Assertions
from ztproxy.upstream.deadlines import Deadlines
from ztproxy.upstream.forwarding import Exchange
from ztproxy.upstream.head import RequestHead
from ztproxy.upstream.pool import Pool
from ztproxy.upstream.sending import Target
from ztproxy.upstream.signing_key import NO_KEYS, load_or_create
from ztproxy.upstream.statement import Statements
from ztproxy.upstream.tls import client_context


class Upstreams:
    """Forwards to the servers of each route; made by `build` within the running loop that it serves on."""

    def __init__(self, routes: Mapping[str, Target], deadlines: Deadlines, pools: list[Pool], jwks: bytes) -> None:
        self._routes = {name: _RoundRobin(target) for name, target in routes.items()}
        self._deadlines = deadlines
        self._pools = pools
        self._jwks = jwks

    @classmethod
    def build(
        cls,
        settings: Settings,
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Read keys and certificates, make the assertion key if it is absent; connects to nothing yet.

        Args:
            settings: the whole configuration.
            loop: the loop to serve on; the running one when absent.
            clock: a monotonic clock, seconds; for durations.

        Raises:
            UnusableFileError: naming a file that cannot be used.
        """
        loop = loop or asyncio.get_running_loop()
        assertions, jwks = None, NO_KEYS
        if settings.assertion is not None:
            key = load_or_create(settings.assertion.key)
            assertions, jwks = Assertions(key, settings.assertion.issuer, settings.assertion.lifetime), key.jwks
        statements = Statements(assertions)
        limits = [min(route.upstream.timeouts.response, route.upstream.timeouts.idle) for route in settings.routes]
        pools: list[Pool] = []
        deadlines = Deadlines(loop, min(limits), lambda now: sum(pool.expire(now) for pool in pools) > 0)
        routes = {}
        for route in settings.routes:
            own = _pools(route, deadlines.wake)
            pools += own
            head = RequestHead(route, statements)
            routes[route.name] = Target(
                own, head, route.upstream.timeouts, deadlines, loop, clock, turn_of(loop).at_end
            )
        return cls(routes, deadlines, pools, jwks)

    def forward(self, authorized: Authorized, client: Client) -> Exchange:
        """Begin forwarding; returns at once, and calls nothing of the client's before it has returned."""
        exchange = self._routes[authorized.route].exchange(authorized, client)
        exchange.start()
        return exchange

    def jwks(self) -> bytes:
        """The JSON Web Key Set that assertions are verified with."""
        return self._jwks

    async def close(self) -> None:
        """End every exchange and connection."""
        for exchange in self._deadlines.watched():
            exchange.stop()
        for pool in self._pools:
            pool.close()
        self._deadlines.stop()
        await asyncio.sleep(0)  # lets cancelled connection attempts and aborted sockets go


class _RoundRobin:
    """Begins each exchange at the next server of its route."""

    def __init__(self, target: Target) -> None:
        pools = target.pools
        self._target = target
        self._orders = tuple(pools[first:] + pools[:first] for first in range(len(pools)))
        self._next = 0

    def exchange(self, authorized: Authorized, client: Client) -> Exchange:
        order = self._orders[self._next]
        self._next = (self._next + 1) % len(self._orders)
        return Exchange(self._target, authorized, client, order)


def _pools(route: Route, wake: Callable[[], None]) -> tuple[Pool, ...]:
    upstream = route.upstream
    secure = upstream.servers[0].startswith("https:")  # all servers of an upstream have one scheme
    context = client_context(upstream.tls) if secure else None
    return tuple(Pool(server, upstream, context, wake) for server in upstream.servers)
