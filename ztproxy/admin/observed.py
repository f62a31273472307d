"""One worker as it is seen from outside: its metrics, and its part of the status."""

import os
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from ztproxy.admin.sources import (
    BasisOf,
    MemoCounts,
    ServerView,
    judging_of,
    listeners_of,
    logs_of,
    servers_of,
)
from ztproxy.edge.listener import Listener
from ztproxy.observe import AccessLog, DecisionLog, Metrics, readings
from ztproxy.observe.process import Process
from ztproxy.observe.series import Reading
from ztproxy.observe.status import LoadStatus, ServerStatus, WorkerStatus, encode
from ztproxy.parts import Parts

Views = Callable[[], Iterable[ServerView]]


class Serving(msgspec.Struct, frozen=True):
    """What new requests are served by."""

    parts: Parts
    basis: BasisOf
    memo: MemoCounts | None
    access: AccessLog
    decisions: DecisionLog | None


class Observed:
    """A worker's figures and facts over all its reloads. Reads nothing but when asked.

    Args:
        metrics: where its requests are counted.
        listeners: those that it serves on now, asked for each time.
        load: what is under way, and whether it is too much.
        worker: its name among the workers; the one that takes its place has the same.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        metrics: Metrics,
        listeners: Callable[[], Iterable[Listener]],
        load: Callable[[], LoadStatus] | None = None,
        *,
        worker: str = "0",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.metrics = metrics
        self.draining = False
        self._listeners = listeners
        self._load = load
        self._wall = wall
        self._process = Process(worker, wall())
        self._serving: Serving | None = None
        self._replaced: list[Callable[[], None]] = []
        """Ends the readings that the next configuration makes its own."""
        self._servers: list[Callable[[], Iterable[ServerStatus]]] = []
        """Of what serves, and of what still ends after a reload."""
        metrics.watch(self._process.readings)
        metrics.watch(self._own)

    def take_up(
        self,
        parts: Parts,
        access: AccessLog,
        decisions: DecisionLog | None,
        *,
        memo: MemoCounts | None = None,
        servers: Views = tuple,
    ) -> Callable[[], None]:
        """From now on new requests are served by these; at the start, and when a reload is committed.

        Returns:
            What to call when nothing is under way by them any more: until then their servers count.
        """
        for stop in self._replaced:
            stop()
        serving = self._serving = Serving(parts, BasisOf(parts, self._loaded_at(parts)), memo, access, decisions)
        self.metrics.expect(route.name for route in parts.settings.routes)
        watch = self.metrics.watch
        self._replaced = [
            watch(lambda: readings.of_basis(serving.basis(self._wall()), self._wall())),
            watch(lambda: readings.of_judging(judging_of(parts, memo)), from_now=True),
            watch(lambda: readings.of_logs(logs_of(access, decisions)), from_now=True),
        ]

        def own() -> Iterator[ServerStatus]:
            return servers_of(servers())

        stop_servers = watch(lambda: readings.of_servers(own()), from_now=True)
        self._servers.append(own)

        def retired() -> None:
            if own in self._servers:
                self._servers.remove(own)
                stop_servers()

        return retired

    def _loaded_at(self, parts: Parts) -> float:
        """Since when the policy decides: a reload that left it as it was does not make it younger."""
        before = self._serving
        if before is not None and before.parts.engine.revision == parts.engine.revision:
            return before.basis.loaded_at
        return self._wall()

    def snapshot(self) -> bytes:
        """For `ztproxy.observe.exposition`."""
        return self.metrics.snapshot()

    def status(self) -> bytes:
        """For `ztproxy.observe.fleet`; empty as long as nothing serves."""
        serving = self._serving
        if serving is None:
            return b""
        return encode(
            WorkerStatus(
                self._process.worker,
                os.getpid(),
                self._process.started,
                self.draining,
                serving.basis(self._wall()),
                judging_of(serving.parts, serving.memo),
                tuple(one for servers in self._servers for one in servers()),
                tuple(listeners_of(self._listeners())),
                logs_of(serving.access, serving.decisions),
                None if self._load is None else self._load(),
            )
        )

    def _own(self) -> Iterator[Reading]:
        yield from readings.of_listeners(listeners_of(self._listeners()))
        if self._load is not None:
            yield from readings.of_load(self._load())
