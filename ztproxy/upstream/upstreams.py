"""All routes' upstreams: where an authorised request is handed to."""

import asyncio
import random as chance
import time
from collections.abc import Callable, Mapping
from typing import Self

from ztproxy.config.settings import Settings
from ztproxy.exchange import Client
from ztproxy.model import Authorized
from ztproxy.spiffe.workload import Workload
from ztproxy.turn import turn_of
from ztproxy.upstream.addresses import Lookup, look_up
from ztproxy.upstream.assertion import Assertions, tellings
from ztproxy.upstream.deadlines import Deadlines
from ztproxy.upstream.key_ring import load_ring
from ztproxy.upstream.member import QueueState, ServerState
from ztproxy.upstream.published import Begin, Published, Shared, Started, changed
from ztproxy.upstream.redirecting import redirecting
from ztproxy.upstream.signing_key import NO_KEYS
from ztproxy.upstream.statement import Statements


class Upstreams:
    """Forwards to the servers of each route; made by `build` within the running loop that it serves on."""

    def __init__(
        self, routes: Mapping[str, Published], redirects: Mapping[str, Begin], deadlines: Deadlines, jwks: bytes
    ) -> None:
        self.published = routes
        self._begin = {name: published.begin for name, published in routes.items()} | dict(redirects)
        self._deadlines = deadlines
        self._pools = [pool for published in routes.values() for pool in published.pools]
        self._jwks = jwks

    @classmethod
    def build(
        cls,
        settings: Settings,
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        previous: "Upstreams | None" = None,
        random: Callable[[], float] = chance.random,
        lookup: Lookup = look_up,
        workload: Workload | None = None,
        wall: Callable[[], float] = time.time,
    ) -> Self:
        """Read keys and certificates, make keys that are absent; nothing is connected to before `start`.

        Args:
            settings: the whole configuration.
            loop: the loop to serve on; the running one when absent.
            clock: a monotonic clock, seconds; for durations.
            previous: whom to take over from.
            random: numbers in [0, 1), for choices and jitter.
            lookup: asks for the addresses of names.
            workload: our SVID and the bundles of trust domains.
            wall: seconds since 1970; for what files are still good for.

        Raises:
            UnusableFileError: naming a file that cannot be used.
            SpiffeError: our SVID cannot be shown.
        """
        loop = loop or asyncio.get_running_loop()
        assertions, jwks = None, NO_KEYS
        if settings.assertion is not None:
            told = settings.assertion
            keys = load_ring(told, wall())
            assertions, jwks = Assertions(keys, told.issuer, told.lifetime, tellings(settings)), keys.jwks
        routes: dict[str, Published] = {}
        deadlines = Deadlines(loop, _shortest(settings), lambda now: _sweep(routes, now))
        shared = Shared(
            Statements(assertions),
            deadlines,
            loop,
            clock,
            turn_of(loop).at_end,
            settings.state,
            random,
            lookup,
            workload,
        )
        redirects: dict[str, Begin] = {}
        for route in settings.routes:
            if route.redirect is not None:
                redirects[route.name] = changed(redirecting(route.redirect, loop), route)
            else:
                routes[route.name] = Published.build(route, shared)
        made = cls(routes, redirects, deadlines, jwks)
        if previous is not None:
            made.take_over(previous)
        return made

    def start(self) -> None:
        """Check servers from now on, where that is configured; the first results are not waited for."""
        loop = asyncio.get_running_loop()
        for published in self.published.values():
            published.start(loop)

    def take_over(self, previous: "Upstreams") -> None:
        """Where a server is configured as before it stands as it stood with others, which serve until now."""
        for name, published in self.published.items():
            if name in previous.published:
                published.adopt(previous.published[name])

    def forward(self, authorized: Authorized, client: Client) -> Started:
        """Begin forwarding; returns at once, and calls nothing of the client's before it has returned."""
        exchange = self._begin[authorized.route](authorized, client)
        exchange.start()
        return exchange

    def jwks(self) -> bytes:
        """The JSON Web Key Set that assertions are verified with."""
        return self._jwks

    def view(self) -> tuple[ServerState, ...]:
        """How every server stands, in the configuration's order."""
        now = self._deadlines.now()
        return tuple(state for published in self.published.values() for state in published.view(now))

    def queues(self) -> tuple[QueueState, ...]:
        """What waits in front of each route's servers."""
        return tuple(published.queue() for published in self.published.values())

    def retire(self) -> None:
        """Others take over: no more checks, idle connections are closed; what is under way goes on to its end."""
        for published in self.published.values():
            published.retire()

    async def drained(self) -> None:
        """Wait until nothing is under way; `retire` first."""
        await self._deadlines.rest()

    async def close(self) -> None:
        """End every exchange and connection."""
        self.retire()
        for exchange in self._deadlines.watched():
            exchange.stop()
        for pool in self._pools:
            pool.close()
        self._deadlines.stop()
        await asyncio.sleep(0)  # lets cancelled connection attempts and aborted sockets go


def _shortest(settings: Settings) -> float:
    """The shortest time limit, seconds."""
    upstreams = [route.upstream for route in settings.routes if route.upstream is not None]
    limits = [min(upstream.timeouts.response, upstream.timeouts.idle) for upstream in upstreams]
    limited = [one for one in upstreams if one.maximum_connections is not None or one.maximum_requests is not None]
    streams = [route.streams.idle for route in settings.routes]
    return min(limits + streams + [upstream.queue.wait for upstream in limited])


def _sweep(routes: Mapping[str, Published], now: float) -> bool:
    """Close what has been idle for too long; whether there is more to watch."""
    return sum(pool.expire(now) for published in routes.values() for pool in published.pools) > 0
