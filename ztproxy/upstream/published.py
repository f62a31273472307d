"""One route's upstream, put together from its configuration: what is not configured is not looked at for a request."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from ztproxy.config.routes import Route
from ztproxy.config.upstreams import Upstream
from ztproxy.exchange import Client, Server
from ztproxy.model import Authorized
from ztproxy.spiffe.workload import Workload
from ztproxy.upstream.addresses import Lookup
from ztproxy.upstream.balanced import BalancedExchange
from ztproxy.upstream.changing import Change, ChangingClient, by_rules
from ztproxy.upstream.choice import Choice
from ztproxy.upstream.cluster import Cluster
from ztproxy.upstream.cross_origin import ReadableClient, by_origin
from ztproxy.upstream.deadlines import Deadlines
from ztproxy.upstream.forwarding import Exchange
from ztproxy.upstream.hash_key import hash_key
from ztproxy.upstream.head import RequestHead
from ztproxy.upstream.health import Checks
from ztproxy.upstream.member import Member, QueueState, ServerState
from ztproxy.upstream.peers import Peers
from ztproxy.upstream.pool import Pool
from ztproxy.upstream.sending import Target
from ztproxy.upstream.statement import Statements
from ztproxy.upstream.sticky import StickyCookie
from ztproxy.upstream.sticky_head import StickyHead
from ztproxy.upstream.sticky_secret import sticky_secret
from ztproxy.upstream.tls import client_context


class Started(Server, Protocol):
    """What answers an exchange."""

    def start(self) -> None:
        """Begin; calls nothing of the client's before it returns."""


Begin = Callable[[Authorized, Client], Started]


class Shared(NamedTuple):
    """What all routes' upstreams share."""

    statements: Statements
    deadlines: Deadlines
    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    at_end: Callable[[Callable[[], None]], None]
    state: Path
    random: Callable[[], float]
    lookup: Lookup
    workload: Workload | None = None


class Published:
    """A route's servers, and how an exchange with one of them begins. Make one with `build`."""

    def __init__(
        self, route: Route, choice: Choice, checks: Checks | None, begin: Begin, peers: Peers | None = None
    ) -> None:
        self.route = route
        self._peers = peers
        self.cluster = choice.cluster
        self._alone = not _is_chosen(route.served_by)
        self._checks = checks
        self.begin = begin
        self.pools = tuple(member.pool for member in choice.cluster.members)

    @classmethod
    def build(cls, route: Route, shared: Shared) -> Self:
        """From the configuration.

        Raises:
            UnusableFileError: naming a file that cannot be used.
        """
        upstream = route.served_by
        context = client_context(upstream.tls, shared.workload) if upstream.secure else None
        wake, lookup, peers = shared.deadlines.wake, shared.lookup, _peers(upstream, shared.workload)
        members = [
            Member(index, server, upstream, Pool(server.url, upstream, context, wake, lookup, peers=peers))
            for index, server in enumerate(upstream.weighted)
        ]
        cluster = Cluster(route.name, upstream, members, shared.loop, shared.random)
        sticky = None
        if upstream.sticky is not None:
            sticky = StickyCookie(upstream.sticky, sticky_secret(upstream.sticky, shared.state), upstream.urls)
        head = RequestHead(route, shared.statements)
        if sticky is not None:
            head = StickyHead(route, shared.statements, sticky)
        target = Target(
            head,
            upstream.timeouts,
            shared.deadlines,
            loop=shared.loop,
            clock=shared.clock,
            at_end=shared.at_end,
            stream_timeouts=upstream.timeouts.model_copy(update={"idle": route.streams.idle}),
            event_streams=frozenset(name.encode("ascii") for name in route.streams.media_types),
        )
        choice = Choice(cluster, hash_key(upstream.balance), sticky)
        checks = None if upstream.health is None else Checks(cluster, upstream.health, shared.random)
        begin = _balanced(target, choice) if _is_chosen(upstream) else _alone(target, members[0])
        return cls(route, choice, checks, changed(begin, route), peers)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check servers from now on, where that is configured."""
        if self._checks is not None:
            self._checks.start(loop)

    def retire(self) -> None:
        """Check no more, and keep no connection."""
        if self._checks is not None:
            self._checks.stop()
        for pool in self.pools:
            pool.retire()

    def adopt(self, other: "Published") -> None:
        """Servers that are configured as before stand as they stood; those that are trusted no more are let go."""
        if self._peers is not None:
            for pool in other.pools:
                pool.end_strangers(self._peers)
        ours, theirs = self.route.served_by, other.route.served_by
        if (ours.tls, ours.health, ours.outliers) != (theirs.tls, theirs.health, theirs.outliers):
            return
        known = {member.pool.name: member for member in other.cluster.members}
        for member in self.cluster.members:
            if member.pool.name in known:
                member.adopt(known[member.pool.name])
        self.cluster.reconsider()

    def view(self, now: float) -> Iterator[ServerState]:
        """How each server stands."""
        for member in self.cluster.members:
            pool = member.pool
            yield ServerState(
                route=self.route.name,
                server=pool.name,
                weight=member.weight,
                healthy=member.healthy,
                ejected_until=member.record.ejected_until if member.is_ejected(now) else None,
                in_flight=pool.connections - pool.idle if self._alone else member.in_flight,
                connections=pool.connections,
                idle=pool.idle,
                requests=pool.requests,
                failures=pool.failures,
                retries=member.retries,
                checks=0 if member.verdict is None else member.verdict.checks,
            )

    def queue(self) -> QueueState:
        """What waits in front of them."""
        cluster = self.cluster
        return QueueState(self.route.name, len(cluster.queue), cluster.refused, cluster.budget.denied)


def _peers(upstream: Upstream, workload: Workload | None) -> Peers | None:
    """Who the servers may be, where they are known by their SPIFFE IDs."""
    if upstream.tls is None or upstream.tls.spiffe_ids is None:
        return None
    return Peers(upstream.tls.spiffe_ids, {} if workload is None else workload.vouching())


def _is_chosen(upstream: Upstream) -> bool:
    """Whether there is anything to choose or to look at; one server alone, with nothing configured, has none."""
    return (
        len(upstream.servers) > 1
        or upstream.sticky is not None
        or upstream.health is not None
        or upstream.maximum_connections is not None
        or upstream.maximum_requests is not None
    )


def _alone(target: Target, member: Member) -> Begin:
    pool = member.pool

    def begin(authorized: Authorized, client: Client) -> Exchange:
        return Exchange(target, authorized, client, pool)

    return begin


def _balanced(target: Target, choice: Choice) -> Begin:
    def begin(authorized: Authorized, client: Client) -> Exchange:
        return BalancedExchange(target, authorized, client, choice)

    return begin


def changed(begin: Begin, route: Route) -> Begin:
    """The same, with what the route changes of responses; as it is where the route changes nothing."""
    rules, cors = route.headers.response, route.cors
    if rules.any:
        begin = _through(begin, ChangingClient, by_rules(rules))
    if cors is not None and cors.origins:
        begin = _through(begin, ReadableClient, by_origin(cors))
    return begin


def _through(begin: Begin, client_type: type[ChangingClient], change: Change) -> Begin:
    def begin_changed(authorized: Authorized, client: Client) -> Started:
        return begin(authorized, client_type(client, authorized, change))

    return begin_changed
