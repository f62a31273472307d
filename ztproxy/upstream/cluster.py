"""The servers of one route together: who is fit, who is next, who must wait."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from ztproxy.config.upstreams import Upstream
from ztproxy.upstream.balance import Balancer, balancer
from ztproxy.upstream.budget import RetryBudget
from ztproxy.upstream.member import Member
from ztproxy.upstream.outliers import may_eject

_log = logging.getLogger("ztproxy.upstream")
_FOREVER = float("inf")
_STEPS = 20
"""In which a server that starts slowly comes to its whole weight."""


class Waiter(Protocol):
    """A request in the queue; it has been taken out when one of these is called."""

    key: int
    """Whom it is for, as `Balancer.pick` understands it."""
    preferred: Member | None
    """The server that it should go to."""

    def proceed(self, member: Member) -> None:
        """There is room at this server."""

    def give_up(self) -> None:
        """No server is fit any more."""


class Cluster:
    """Chooses, counts, and keeps the queue. Every decision is a pure one's; time comes in as an argument.

    Args:
        route: the route's name.
        upstream: its configuration.
        members: its servers.
        loop: whose turn the queue moves in.
        random: numbers in [0, 1).
    """

    def __init__(
        self,
        route: str,
        upstream: Upstream,
        members: Sequence[Member],
        loop: asyncio.AbstractEventLoop,
        random: Callable[[], float],
    ) -> None:
        self.route = route
        self.upstream = upstream
        self.members = tuple(members)
        self.budget = RetryBudget(upstream.retries)
        self.refused = 0
        limits = [one for one in (upstream.maximum_connections, upstream.maximum_requests) if one is not None]
        self._limit = min(limits) if limits else None
        """Of each server: an exchange has a connection of its own and takes an idle one first."""
        self._loop = loop
        self._slow_start = upstream.slow_start
        servers = [(server.url, server.weight) for server in upstream.weighted]
        self._balancer: Balancer = balancer(
            upstream.balance, servers, starts_slowly=upstream.slow_start is not None, random=random
        )
        self.queue: OrderedDict[Waiter, None] = OrderedDict()
        """Who waits, in turn."""
        self._fit: tuple[Member, ...] = self.members
        self._fit_until = -_FOREVER

    # Who is next.

    def fit(self, now: float) -> tuple[Member, ...]:
        """The servers that may be asked now."""
        if now >= self._fit_until:
            self._look(now)
        return self._fit

    def pick(
        self, key: int, now: float, tried: Collection[Member] = (), preferred: Member | None = None
    ) -> Member | None:
        """A server that is fit, was not tried and has room; None where there is none.

        Args:
            key: whom the request is for.
            now: by the loop's clock.
            tried: servers that failed this request.
            preferred: the one to take if it may be taken.
        """
        fit: Sequence[Member] = self.fit(now)
        limit = self._limit
        if tried or limit is not None:
            most = _FOREVER if limit is None else limit
            fit = [member for member in fit if member.in_flight < most and member not in tried]
        if preferred is not None and preferred in fit:
            return preferred
        if not fit:
            return None
        return fit[0] if len(fit) == 1 else self._balancer.pick(fit, key)

    @property
    def in_flight(self) -> int:
        """Requests under way at all servers together."""
        return sum([member.in_flight for member in self.members])

    # Who must wait.

    def wait(self, waiter: Waiter) -> bool:
        """Stand at the end of the queue; False where it is full."""
        if len(self.queue) >= self.upstream.queue.length:
            return False
        self.queue[waiter] = None
        return True

    def leave(self, waiter: Waiter) -> None:
        """Wait no more."""
        self.queue.pop(waiter, None)

    def make_room(self) -> None:
        """A server has room again: whoever waits goes there once the loop turns."""
        self._loop.call_soon(self._move)

    def _move(self) -> None:
        """Let those in front go where there is room."""
        while self.queue:
            now = self._loop.time()
            if not self.fit(now):
                self.queue.popitem(last=False)[0].give_up()
                continue
            first = next(iter(self.queue))
            member = self.pick(first.key, now, preferred=first.preferred)
            if member is None:
                return
            del self.queue[first]
            first.proceed(member)

    # How they stand.

    def answered(self, member: Member, status: int, now: float) -> None:
        """A server answered a request to the end; need not be told of one without a spot that answered well."""
        if member.record.answered(status, now):
            self._eject(member, now, f"answered {status}")

    def failed(self, member: Member, now: float) -> None:
        """A server failed a request."""
        if member.record.failed(now):
            self._eject(member, now, "failed")

    def checked(self, member: Member, now: float, *, good: bool) -> None:
        """An active check has a result."""
        if not member.checked(now, good=good):
            return
        if good:
            _log.warning("route %s: %s is healthy again", self.route, member.pool.name)
        else:
            _log.warning("route %s: %s is unhealthy and gets no requests", self.route, member.pool.name)
            member.pool.close_idle()
        self.reconsider()

    def _eject(self, member: Member, now: float, what: str) -> None:
        ejected = sum([other.is_ejected(now) for other in self.members])
        if not may_eject(ejected, len(self.members), self.upstream.outliers):
            return
        seconds = member.record.eject(now) - now
        _log.warning("route %s: %s %s too often and is left out for %g s", self.route, member.pool.name, what, seconds)
        member.pool.close_idle()
        self.reconsider()

    def reconsider(self) -> None:
        """How servers stand has changed."""
        self._fit_until = -_FOREVER
        if self.queue:
            self.make_room()

    def _look(self, now: float) -> None:
        """Find out who is fit, and until when that holds."""
        fit = []
        until = _FOREVER
        slow_start = self._slow_start
        for member in self.members:
            if not member.healthy:
                continue
            if member.is_ejected(now):
                until = min(until, member.record.ejected_until)
                continue
            if slow_start is not None and member.start_slowly(now, slow_start):
                until = min(until, now + slow_start / _STEPS)
            fit.append(member)
        self._fit = tuple(fit)
        self._fit_until = until
