"""The page, read back by the library's own parsers."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from ztproxy.observe import catalogue as series
from ztproxy.observe.accepted import OPENMETRICS, PLAIN
from ztproxy.observe.catalogue import CATALOGUE
from ztproxy.observe.exposition import exposition
from ztproxy.observe.metrics import Metrics
from ztproxy.observe.snapshot import Distribution, Snapshot, encode


def page() -> list[bytes]:
    metrics = Metrics()
    metrics.watch(lambda: [(series.CONNECTIONS, ('unix:/run/a "b"\\\n.sock',), 2)])
    metrics.lagged(0.0009)
    metrics.lagged(0.003)
    metrics.lagged(90.0)
    return [metrics.snapshot(), metrics.snapshot()]


@pytest.mark.parametrize(
    ("accept", "media_type", "read"),
    [
        ("", PLAIN, read_plain),
        ("text/html, */*", PLAIN, read_plain),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", OPENMETRICS, read_openmetrics),
        ("text/plain;q=0.5, Application/OpenMetrics-Text; version=\x00; escaping=\r\nx", OPENMETRICS, read_openmetrics),
    ],
)
def test_both_formats_say_the_same(accept, media_type, read):
    body, told = exposition(page(), [(series.RESTARTS, (), 3)], accept)
    assert told == media_type
    samples = {
        (sample.name, sample.labels.get("le")): sample.value
        for family in read(body.decode())
        for sample in family.samples
    }
    assert samples["ztproxy_worker_restarts_total", None] == 3
    assert samples["ztproxy_connections", None] == 4
    lag = series.LOOP_LAG.name
    assert samples[lag + "_bucket", "0.0005"] == 0
    assert samples[lag + "_bucket", "0.001"] == 2
    assert samples[lag + "_bucket", "0.005"] == 4
    assert samples[lag + "_bucket", "2.5"] == 4
    assert samples[lag + "_bucket", "+Inf"] == samples[lag + "_count", None] == 6
    assert samples[lag + "_sum", None] == pytest.approx(2 * 90.0039)


def test_a_label_is_escaped():
    body, _ = exposition(page())
    (family,) = [family for family in read_plain(body.decode()) if family.name == "ztproxy_connections"]
    assert family.samples[0].labels == {"listener": 'unix:/run/a "b"\\\n.sock'}
    assert family.type == "gauge"


def test_what_nobody_reads_is_not_exported():
    body, _ = exposition([Metrics().snapshot()])
    names = {family.name for family in read_plain(body.decode())}
    assert names == {series.DECISION_DURATION.name, series.LOOP_LAG.name}


@pytest.mark.parametrize(("accept", "read"), [("", read_plain), (OPENMETRICS, read_openmetrics)])
def test_every_series_can_be_read_whatever_its_labels_hold(accept, read):
    """OpenMetrics takes `x` and `x_total` for one family, and no family twice."""
    snapshot = Snapshot()
    for one in CATALOGUE.values():
        for value in ("a", 'b "\\\n'):
            labels = (value,) * len(one.labels)
            if one.kind == "histogram":
                snapshot.observe(one, labels, Distribution([1] * (len(one.bounds) + 1), 3.0))
            else:
                snapshot.take((one, labels, 1.5))
    body, _ = exposition([encode(snapshot)], accept=accept)
    names = [family.name for family in read(body.decode())]
    assert sorted(names) == sorted(name.removesuffix("_total") for name in CATALOGUE)
