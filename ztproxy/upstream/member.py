"""One server of an upstream as those that choose see it: how it stands, and what it is busy with."""

from copy import copy

import msgspec

from ztproxy.config.upstreams import Upstream, WeightedServer
from ztproxy.upstream.outliers import Record
from ztproxy.upstream.pool import Pool
from ztproxy.upstream.verdict import Verdict

_NEVER = float("-inf")
_LEAST = 0.1
"""The part of its weight that a server which comes back has at least."""


class Member:
    """A server and how it stands.

    Args:
        index: its place in the configuration.
        server: its URL and weight.
        upstream: what counts as failing.
        pool: its connections.
    """

    __slots__ = ("healed_at", "in_flight", "index", "pool", "ramp", "record", "retries", "verdict", "weight")

    def __init__(self, index: int, server: WeightedServer, upstream: Upstream, pool: Pool) -> None:
        self.index = index
        self.weight = server.weight
        self.pool = pool
        self.ramp = 1.0
        self.in_flight = 0
        self.retries = 0
        """Requests that went on to another server after this one, or once more to this one."""
        self.record = Record(upstream.outliers)
        self.verdict = None if upstream.health is None else Verdict(upstream.health)
        self.healed_at = _NEVER

    @property
    def healthy(self) -> bool:
        """What active checks say; True where there are none."""
        return self.verdict is None or self.verdict.fit

    def is_ejected(self, now: float) -> bool:
        """Whether it is left out for what it did to clients' requests."""
        return now < self.record.ejected_until

    def checked(self, now: float, *, good: bool) -> bool:
        """Take the result of an active check in; whether it changed what the checks say."""
        changed = self.verdict is not None and self.verdict.take(good=good)
        if changed and good:
            self.healed_at = now
        return changed

    def start_slowly(self, now: float, seconds: float) -> bool:
        """Set the part of its weight that counts now; whether it is less than the whole.

        A server that was never away has the whole at once: when the proxy starts, all start alike.
        """
        back = max(self.healed_at, self.record.ejected_until)
        self.ramp = min(1.0, max(_LEAST, (now - back) / seconds))
        return self.ramp < 1.0

    def adopt(self, other: "Member") -> None:
        """Go on where another left off: the same server under the same configuration, before a reload.

        Copied, because the other goes on as well: until it is drained, or for good when the reload is given up.
        """
        self.record, self.verdict, self.healed_at = copy(other.record), copy(other.verdict), other.healed_at
        self.retries = other.retries
        self.pool.requests, self.pool.failures = other.pool.requests, other.pool.failures
        self.pool.adopt(other.pool)


class ServerState(msgspec.Struct, frozen=True):
    """One server at one moment, for metrics and status. Times are the event loop's, in seconds."""

    route: str
    server: str
    weight: int
    healthy: bool
    """What active checks say; True where there are none, and before the first."""
    ejected_until: float | None
    """None while it is not left out."""
    in_flight: int
    connections: int
    idle: int
    requests: int
    failures: int
    retries: int
    """Requests that went on to another server after this one, or once more to this one."""
    checks: int
    """Active checks made."""


class QueueState(msgspec.Struct, frozen=True):
    """What waits and what was not let through in front of one route's servers."""

    route: str
    waiting: int
    refused: int
    """Requests that found every server and the queue full, or waited too long."""
    retries_denied: int
    """Requests that were not sent again because too many were at that moment."""
