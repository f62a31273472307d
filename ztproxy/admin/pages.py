"""What the admin socket and the health listener serve: the status of the whole proxy, and its metrics."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from ztproxy.admin.fresh import Fresh
from ztproxy.observe import catalogue as series
from ztproxy.observe.accepted import OPENMETRICS, wants_openmetrics
from ztproxy.observe.fleet import FleetStatus, Reloads, WorkerLine, joined
from ztproxy.observe.problems import problems
from ztproxy.observe.series import Reading
from ztproxy.observe.status import decode

EVERY = 1.0
"""Seconds for which a page is good."""
STATES = ("starting", "ready", "draining", "dead")


class Fleet(Protocol):
    """The workers, as the supervisor has them."""

    async def snapshots(self) -> Sequence[bytes]:
        """Of all workers, and of those that are gone; see `ztproxy.observe.snapshot.Gathered`."""

    async def statuses(self) -> Sequence[bytes]:
        """Of the workers that answer."""

    def workers(self) -> Sequence[WorkerLine]:
        """Each worker process."""

    @property
    def reloads(self) -> Reloads:
        """What became of reloads."""


async def status(fleet: Fleet, now: float | None = None) -> bytes:
    """The document that `ztproxy status` shows, JSON; `now` in seconds since 1970."""
    return msgspec.json.encode(await status_of(fleet, time.time() if now is None else now))


async def status_of(fleet: Fleet, now: float) -> FleetStatus:
    """The same, not yet written."""
    told = [decode(one) for one in await fleet.statuses() if one]
    made = joined(told, fleet.workers(), fleet.reloads, now)
    return msgspec.structs.replace(made, problems=tuple(problems(made)))


async def metrics(fleet: Fleet, accept: str = "") -> tuple[bytes, str]:
    """The page that a Prometheus reads, and its media type; `accept` is the request's field."""
    # The library takes as long to load as the supervisor; it is needed where somebody asks.
    from ztproxy.observe.exposition import exposition  # noqa: PLC0415

    return exposition(await fleet.snapshots(), _of_the_whole(fleet), accept)


class MetricsPage:
    """The same for whoever can connect: made at most once a second, since every time is work for the workers."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float] = time.monotonic) -> None:
        self._plain = Fresh(lambda: metrics(fleet), EVERY, clock)
        self._openmetrics = Fresh(lambda: metrics(fleet, OPENMETRICS), EVERY, clock)

    async def read(self, accept: str = "") -> tuple[bytes, str]:
        """The page, and its media type."""
        return await (self._openmetrics if wants_openmetrics(accept) else self._plain)()


def _of_the_whole(fleet: Fleet) -> Iterator[Reading]:
    """What no worker knows."""
    workers = fleet.workers()
    by_state = Counter(worker.state for worker in workers)
    for state in STATES:
        yield series.WORKERS, (state,), by_state[state]
    yield series.RESTARTS, (), sum(worker.restarts for worker in workers)
    reloads = fleet.reloads
    yield series.RELOADS, ("ok",), reloads.succeeded
    yield series.RELOADS, ("failed",), reloads.failed
    yield series.RELOAD_FAILING, (), bool(reloads.problems)
    yield series.IDENTITY_STALE, (), bool(reloads.identity)
    if reloads.last_success is not None:
        yield series.RELOADED, (), reloads.last_success
