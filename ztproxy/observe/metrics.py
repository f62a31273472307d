"""What a worker counts: each request as it ends, and, when asked, what its parts can say of themselves.

`finished` is on the path of every request. It adds to lists found by small keys; nothing is rendered, locked or sorted
until a snapshot is asked for.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import add
from typing import Final

from ztproxy.model import Answered, Arrived, Authorized, Decision, Finished, HandshakeFailed, Reason, Refused
from ztproxy.observe import catalogue as series
from ztproxy.observe.causes import OPERATIONAL
from ztproxy.observe.handshakes import outcome_of
from ztproxy.observe.series import NONE, Reading, Series
from ztproxy.observe.snapshot import Distribution, Labels, Snapshot, encode

METHODS: Final = {one: one for one in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")}
"""Those of RFC 9110 and RFC 5789; any other method is `other`: a client could make up names without end."""
OTHER: Final = "other"
STATUSES: Final = {0: "none", 1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
_BOUNDS: Final = series.DURATION.bounds
_DECISION_BOUNDS: Final = series.DECISION_DURATION.bounds
_RATE_LIMITED = Reason.RATE_LIMITED.word
_NO_ANSWER = frozenset(
    reason.word
    for reason in (
        Reason.POLICY_UNDEFINED,
        Reason.POLICY_MALFORMED,
        Reason.POLICY_ERROR,
        Reason.POLICY_TIMEOUT,
        Reason.POLICY_UNAVAILABLE,
    )
)
"""Words, because an enum's member takes ten times as long to be looked up."""
Source = Callable[[], Iterable[Reading]]
"""What a part of the proxy says of itself when a snapshot is made."""
Counts = dict[Labels, int]


class Cell:
    """What is counted of one route, method and status class."""

    __slots__ = ("counts", "received", "seconds", "sent", "upstream_counts", "upstream_seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS) + 1)
        """Requests by their duration; `upstream_counts` by that of the server."""
        self.seconds = 0.0
        self.upstream_counts = [0] * (len(_BOUNDS) + 1)
        self.upstream_seconds = 0.0
        self.received = 0
        """Octets."""
        self.sent = 0

    def add(self, other: "Cell", *, duration: bool) -> None:
        """Take in what another counted, the duration of its requests or not."""
        if duration:
            self.counts = list(map(add, self.counts, other.counts))
            self.seconds += other.seconds
        self.upstream_counts = list(map(add, self.upstream_counts, other.upstream_counts))
        self.upstream_seconds += other.upstream_seconds
        self.received += other.received
        self.sent += other.sent


class Metrics:
    """One worker's figures."""

    __slots__ = (
        "_broken", "_cells", "_decisions", "_engine_counts", "_engine_time", "_handshakes", "_lag", "_limited",
        "_others", "_past", "_refusals", "_sources",
    )  # fmt: skip

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, int], Cell] = {}
        self._others: Counts = {}
        """By route: those that did not end as the policy allowed them."""
        self._refusals: Counts = {}
        self._decisions: Counts = {}
        """But for those that allowed what then ended well: they are what is left of a route's requests."""
        self._limited: Counts = {}
        self._broken: Counts = {}
        self._handshakes: Counts = {}
        self._engine_counts = [0] * (len(_DECISION_BOUNDS) + 1)
        self._engine_time = 0.0
        self._lag = Distribution([0] * (len(series.LOOP_LAG.bounds) + 1), 0.0)
        self._sources: list[Source] = []
        self._past = Snapshot()
        """What sources had counted that are gone."""

    def expect(self, routes: Iterable[str]) -> None:
        """Show what is wrong with a route as zero from the start: a Prometheus sees no first event otherwise."""
        for reason in (Reason.OVERLOADED, Reason.INTERNAL_ERROR):  # it needs no route to go wrong
            self._refusals.setdefault((NONE, reason.word), 0)
        for route in routes:
            for reason in OPERATIONAL:
                self._refusals.setdefault((route, reason.word), 0)
            for result in ("allow", "deny", "error"):
                self._decisions.setdefault((route, result), 0)

    def finished(self, finished: Finished) -> None:
        """Count a request at its end."""
        outcome = finished.outcome
        decision: Decision | None
        if isinstance(outcome, Authorized):
            route = outcome.route
            method = outcome.arrived.method
            decision = outcome.decision
        else:
            route, method, decision = self._not_forwarded(outcome)
        key = (route, METHODS.get(method, OTHER), finished.status // 100)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Cell()
        duration = finished.duration
        cell.counts[bisect_left(_BOUNDS, duration)] += 1
        cell.seconds += duration
        cell.sent += finished.bytes_out
        if received := finished.bytes_in:
            cell.received += received
        upstream = finished.upstream_duration
        if upstream is not None:
            cell.upstream_counts[bisect_left(_BOUNDS, upstream)] += 1
            cell.upstream_seconds += upstream
        if decision is not None and (took := decision.duration):
            self._engine_counts[bisect_left(_DECISION_BOUNDS, took)] += 1
            self._engine_time += took
        if finished.cut is not None:
            _count(self._broken, (route,))

    def _not_forwarded(self, outcome: Refused | Answered) -> tuple[str, str, Decision | None]:
        """Route, method and decision of a request that went no further; counts why."""
        if isinstance(outcome, Answered):
            _count(self._others, (NONE,))
            return NONE, outcome.at.method, None
        at, refusal = outcome.at, outcome.refusal
        if at is None:
            route, method = NONE, ""
        elif isinstance(at, Arrived):
            route, method = NONE, at.method
        else:
            route, method = at.route, at.arrived.method
        _count(self._others, (route,))
        reason = refusal.reason.word
        _count(self._refusals, (route, reason))
        if reason == _RATE_LIMITED and refusal.limit is not None:
            _count(self._limited, (refusal.limit.name,))
        decision = refusal.decision
        if reason in _NO_ANSWER:
            _count(self._decisions, (route, "error"))
        elif decision is not None:
            _count(self._decisions, (route, "allow" if decision.allow else "deny"))
        return route, method, decision

    def handshake_failed(self, failed: HandshakeFailed) -> None:
        """Count a TLS handshake that did not come about."""
        _count(self._handshakes, (failed.listener, outcome_of(failed.cause)))

    def lagged(self, seconds: float) -> None:
        """The event loop came so late to a timer."""
        self._lag.counts[bisect_left(series.LOOP_LAG.bounds, seconds)] += 1
        self._lag.sum += seconds

    # -- what others count

    def watch(self, source: Source, *, from_now: bool = False) -> Callable[[], None]:
        """Ask this part too, until the function that is returned is called; what it had counted then stays.

        A part that is replaced by a reload begins to count anew, and the sums must not fall.

        Args:
            source: read whenever a snapshot is made.
            from_now: what it has counted before is not counted again: it took the count over from another.
        """
        before: dict[tuple[str, Labels], float] = {}
        if from_now:
            before = {(of.name, labels): value for of, labels, value in source() if of.kind == "counter"}

        def read() -> Iterator[Reading]:
            for of, labels, value in source():
                yield of, labels, value - before.get((of.name, labels), 0)

        def stop() -> None:
            if read in self._sources:
                self._sources.remove(read)
                for reading in read():
                    if reading[0].kind == "counter":
                        self._past.take(reading)

        self._sources.append(read)
        return stop

    def snapshot(self) -> bytes:
        """All figures at this moment."""
        taken = Snapshot()
        taken.join(self._past)
        for source in self._sources:
            for reading in source():
                taken.take(reading)
        by_route = self._by_route()
        for route, cell in by_route.items():
            taken.observe(series.DURATION, (route,), Distribution(cell.counts, cell.seconds))
            upstream = Distribution(cell.upstream_counts, cell.upstream_seconds)
            taken.observe(series.UPSTREAM_DURATION, (route,), upstream)
        taken.take_all(series.RECEIVED, {(route,): cell.received for route, cell in by_route.items()})
        taken.take_all(series.SENT, {(route,): cell.sent for route, cell in by_route.items()})
        for of, counts in self._counted():
            taken.take_all(of, counts)
        taken.observe(series.DECISION_DURATION, (), Distribution(self._engine_counts, self._engine_time))
        taken.observe(series.LOOP_LAG, (), self._lag)
        return encode(taken)

    def _by_route(self) -> dict[str, Cell]:
        """Each route's cells as one."""
        sums: dict[str, Cell] = {}
        for (route, _, status), cell in self._cells.items():
            known = sums.get(route)
            if known is None:
                known = sums[route] = Cell()
            known.add(cell, duration=status != 1)  # an upgraded connection lasts as long as it lasts
        return sums

    def _counted(self) -> Iterator[tuple[Series, Mapping[Labels, float]]]:
        requests: dict[Labels, int] = {}
        allowed = {route: -count for route, count in self._others.items()}
        for (route, method, status), cell in self._cells.items():
            count = sum(cell.counts)
            labels = route, method, STATUSES.get(status, OTHER)
            requests[labels] = requests.get(labels, 0) + count
            allowed[route,] = allowed.get((route,), 0) + count
        yield series.REQUESTS, requests
        yield series.DECISIONS, {(*route, "allow"): count for route, count in allowed.items() if count}
        yield series.DECISIONS, self._decisions
        yield series.REFUSALS, self._refusals
        yield series.LIMIT_REFUSALS, self._limited
        yield series.BROKEN, self._broken
        yield series.HANDSHAKES, self._handshakes


def _count(counts: Counts, labels: Labels) -> None:
    counts[labels] = counts.get(labels, 0) + 1
