"""A worker's figures at one moment, and how those of several workers become one.

Counters never go backwards: when a worker is gone, what it had counted stays (`bury`), and what was true of it alone,
its gauges, goes.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ztproxy.observe.catalogue import CATALOGUE
from ztproxy.observe.series import Reading, Series

Labels = tuple[str, ...]


class Distribution(msgspec.Struct, array_like=True):
    """A histogram's counts, one a bucket and the last without bound, and the sum of what was counted."""

    counts: list[int]
    sum: float

    def add(self, other: "Distribution") -> None:
        """Count what another one counted as well."""
        self.counts = [own + more for own, more in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum


class Snapshot(msgspec.Struct):
    """By series' name and labels' values."""

    values: dict[str, dict[Labels, float]] = {}
    distributions: dict[str, dict[Labels, Distribution]] = {}

    def take(self, reading: Reading) -> None:
        """One more reading; one with the labels of an earlier one is joined to it."""
        series, labels, value = reading
        self._join(series, labels, value)

    def take_all(self, series: Series, values: Mapping[Labels, float]) -> None:
        """Many readings of one series at once, each with labels of its own."""
        if series.name in self.values:
            for labels, value in values.items():
                self._join(series, labels, value)
        elif values:
            self.values[series.name] = dict(values)

    def observe(self, series: Series, labels: Labels, more: Distribution) -> None:
        """One more distribution."""
        found = self.distributions.setdefault(series.name, {}).get(labels)
        if found is None:
            self.distributions[series.name][labels] = Distribution(list(more.counts), more.sum)
        else:
            found.add(more)

    def join(self, other: "Snapshot", *, gauges: bool = True) -> None:
        """Take in what another worker says; a series that is not in the catalogue is nobody's."""
        for name, values in other.values.items():
            series = CATALOGUE.get(name)
            if series is not None and (gauges or series.kind == "counter"):
                for labels, value in values.items():
                    self._join(series, labels, value)
        for name, distributions in other.distributions.items():
            if (series := CATALOGUE.get(name)) is not None:
                for labels, one in distributions.items():
                    self.observe(series, labels, one)

    def _join(self, series: Series, labels: Labels, value: float) -> None:
        if len(labels) != len(series.labels):
            raise ValueError(f"{series.name} has the labels {series.labels}, not {labels}")
        values = self.values.setdefault(series.name, {})
        before = values.get(labels)
        if before is None:
            values[labels] = value
        elif series.over == "sum":
            values[labels] = before + value
        else:
            values[labels] = max(before, value) if series.over == "max" else min(before, value)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> bytes:
    """As it travels from a worker to the supervisor."""
    return _encoder.encode(snapshot)


def merge(snapshots: Iterable[bytes]) -> Snapshot:
    """The figures of all workers as one. Raises `msgspec.DecodeError` for what is no snapshot."""
    merged = Snapshot()
    for one in snapshots:
        merged.join(_decoder.decode(one))
    return merged


def bury(snapshots: Iterable[bytes]) -> bytes:
    """What has to be remembered of workers that are gone: what they counted."""
    merged = Snapshot()
    for one in snapshots:
        merged.join(_decoder.decode(one), gauges=False)
    return encode(merged)


class Gathered:
    """The last snapshot of each worker, and of those that are gone what they counted; one entry for all of those.

    A worker that does not answer in time keeps its last word: else the sums would fall and rise again, which a
    Prometheus reads as a restart.
    """

    def __init__(self) -> None:
        self._last: dict[int, bytes] = {}
        self._buried = b""

    def take(self, worker: int, snapshot: bytes) -> None:
        """A worker, named by its process id, has answered."""
        self._last[worker] = snapshot

    def gone(self, worker: int) -> None:
        """It is no more."""
        last = self._last.pop(worker, None)
        if last is not None:
            self._buried = bury([self._buried, last] if self._buried else [last])

    def all(self) -> Sequence[bytes]:
        """For `merge`."""
        return [*self._last.values(), *([self._buried] if self._buried else ())]
