"""The figures as Prometheus reads them: its own text format, or OpenMetrics where that is asked for.

Rendered by the `prometheus_client` library. Only its metric families and its two writers are used: its counters take a
lock each, and know nothing of several workers.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest as plain
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.registry import Collector

from ztproxy.observe.accepted import OPENMETRICS, PLAIN, wants_openmetrics
from ztproxy.observe.catalogue import CATALOGUE
from ztproxy.observe.series import Reading, Series
from ztproxy.observe.snapshot import Distribution, Snapshot, merge


def exposition(snapshots: Iterable[bytes], more: Iterable[Reading] = (), accept: str = "") -> tuple[bytes, str]:
    """The page, and its media type.

    Args:
        snapshots: of all workers, and what is remembered of those that are gone.
        more: what is true of the whole, and no worker knows.
        accept: the field of the request.
    """
    merged = merge(snapshots)
    for reading in more:
        merged.take(reading)
    collector = _Merged(merged)
    if wants_openmetrics(accept):
        return openmetrics(collector), OPENMETRICS  # type: ignore[no-untyped-call]  # the library's own lack
    return plain(collector), PLAIN


class _Merged(Collector):
    """What the library's writers ask."""

    def __init__(self, merged: Snapshot) -> None:
        self._merged = merged

    def collect(self) -> Iterator[Metric]:
        for series in CATALOGUE.values():
            if series.kind == "histogram":
                distributions = self._merged.distributions.get(series.name)
                if distributions:
                    yield _histogram(series, distributions)
            elif values := self._merged.values.get(series.name):
                family = CounterMetricFamily if series.kind == "counter" else GaugeMetricFamily
                metric = family(series.name, series.help, labels=series.labels)
                for labels, value in sorted(values.items()):
                    metric.add_metric(labels, value)
                yield metric


def _histogram(series: Series, distributions: dict[tuple[str, ...], Distribution]) -> Metric:
    metric = HistogramMetricFamily(series.name, series.help, labels=series.labels)
    bounds = [*(str(bound) for bound in series.bounds), "+Inf"]
    for labels, one in sorted(distributions.items(), key=lambda item: item[0]):
        buckets = list(zip(bounds, map(float, accumulate(one.counts)), strict=True))
        metric.add_metric(labels, buckets, one.sum)
    return metric
