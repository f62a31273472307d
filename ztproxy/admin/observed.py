"""One worker as it is seen from outside: its metrics, and its part of the status."""

import os
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from ztproxy.admin.sources import (
    BasisOf,
    StreamCounts,
    judging_of,
    listeners_of,
    load_of,
    logs_of,
    queues_of,
    servers_of,
    streams_of,
)
from ztproxy.edge.listener import Listener
from ztproxy.edge.load import Load
from ztproxy.edge.resident import resident_memory
from ztproxy.observe import AccessLog, DecisionLog, Metrics, readings
from ztproxy.observe.process import Process
from ztproxy.observe.series import Reading
from ztproxy.observe.status import WorkerStatus, encode
from ztproxy.parts import Parts


class Serving(msgspec.Struct, frozen=True):
    """What new requests are served by."""

    parts: Parts
    basis: BasisOf
    access: AccessLog
    decisions: DecisionLog | None


class Observed:
    """A worker's figures and facts over all its reloads. Reads nothing but when asked.

    Args:
        metrics: where its requests are counted.
        listeners: those that it serves on now, asked for each time.
        streams: the registry of streams, where there is one.
        worker: its name among the workers; the one that takes its place has the same.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        metrics: Metrics,
        listeners: Callable[[], Iterable[Listener]],
        streams: StreamCounts | None = None,
        *,
        worker: str = "0",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.metrics = metrics
        self.draining = False
        self._listeners = listeners
        self._streams = streams
        self._wall = wall
        self._process = Process(worker, wall(), resident_memory())
        self._serving: Serving | None = None
        self._replaced: list[Callable[[], None]] = []
        """Ends the readings that the next configuration makes its own."""
        self._passing: list[Parts] = []
        """What serves, and before it what something is still under way by after a reload."""
        self._loads: list[tuple[Load, Callable[[], None]]] = []
        metrics.watch(self._process.readings)
        metrics.watch(self._own)

    def take_up(self, parts: Parts, access: AccessLog, decisions: DecisionLog | None) -> Callable[[], None]:
        """From now on new requests are served by these; at the start, and when a reload is committed.

        Returns:
            What to call when nothing is under way by them any more: until then their servers count.
        """
        for stop in self._replaced:
            stop()
        serving = self._serving = Serving(parts, BasisOf(parts, self._loaded_at(parts)), access, decisions)
        self.metrics.expect(route.name for route in parts.settings.routes)
        watch = self.metrics.watch
        self._replaced = [
            watch(lambda: readings.of_basis(serving.basis(self._wall()), self._wall())),
            watch(lambda: readings.of_judging(judging_of(parts)), from_now=True),
            watch(lambda: readings.of_logs(logs_of(access, decisions)), from_now=True),
        ]
        upstreams = parts.upstreams
        ends = [
            watch(lambda: readings.of_servers(servers_of(upstreams)), from_now=True),
            watch(lambda: readings.of_queues(queues_of(upstreams)), from_now=True),
        ]
        self._passing.append(parts)
        if not any(parts.load is load for load, _ in self._loads):
            load = parts.load  # a reload may hand it on: it is watched once
            self._loads.append((load, watch(lambda: readings.of_load(load_of(load)), from_now=True)))

        def retired() -> None:
            left = [other for other in self._passing if other is not parts]
            if len(left) < len(self._passing):
                self._passing = left
                for end in ends:
                    end()
                self._let_go_of_loads()

        return retired

    def _let_go_of_loads(self) -> None:
        for entry in tuple(self._loads):
            load, stop = entry
            if not any(load is parts.load for parts in self._passing):
                self._loads.remove(entry)
                stop()

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
                judging_of(serving.parts),
                tuple(one for parts in self._passing for one in servers_of(parts.upstreams)),
                tuple(queues_of(serving.parts.upstreams)),
                tuple(listeners_of(self._listeners())),
                logs_of(serving.access, serving.decisions),
                load_of(serving.parts.load),
                None if self._streams is None else streams_of(self._streams),
            )
        )

    def _own(self) -> Iterator[Reading]:
        yield from readings.of_listeners(listeners_of(self._listeners()))
        if self._streams is not None:
            yield from readings.of_streams(streams_of(self._streams))
