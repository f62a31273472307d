"""How the figures of several workers become one."""

import msgspec
import pytest

from ztproxy.observe import catalogue as series
from ztproxy.observe.catalogue import CATALOGUE
from ztproxy.observe.series import Reading
from ztproxy.observe.snapshot import Distribution, Gathered, Snapshot, bury, encode, merge


def snapshot(*readings: Reading, lag: tuple[int, float] | None = None) -> bytes:
    made = Snapshot()
    for reading in readings:
        made.take(reading)
    if lag is not None:
        counts = [0] * (len(series.LOOP_LAG.bounds) + 1)
        counts[lag[0]] = 1
        made.observe(series.LOOP_LAG, (), Distribution(counts, lag[1]))
    return encode(made)


def test_counters_and_histograms_are_added_up():
    merged = merge(
        [
            snapshot((series.REFUSALS, ("orders", "rate-limited"), 3), lag=(1, 0.5)),
            snapshot((series.REFUSALS, ("orders", "rate-limited"), 4), (series.RESTARTS, (), 1), lag=(1, 0.25)),
        ]
    )
    assert merged.values[series.REFUSALS.name] == {("orders", "rate-limited"): 7}
    assert merged.values[series.RESTARTS.name] == {(): 1}
    assert merged.distributions[series.LOOP_LAG.name][()].counts[1] == 2
    assert merged.distributions[series.LOOP_LAG.name][()].sum == 0.75


@pytest.mark.parametrize(
    ("of", "values", "merged"),
    [
        (series.CONNECTIONS, (3, 4), 7),
        (series.OVERLOADED, (0, 1), 1),
        (series.UPSTREAM_HEALTHY, (1, 0), 0),
        (series.CERTIFICATE_END, (2e9, 1e9), 1e9),
        (series.ISSUER_KEYS_AGE, (5, 90), 90),
        (series.ISSUER_KEYS, (0, 2), 0),
    ],
)
def test_a_gauge_is_joined_by_its_own_rule(of, values, merged):
    labels = ("x",) * len(of.labels)
    for order in (values, values[::-1]):
        assert merge(snapshot((of, labels, value)) for value in order).values[of.name] == {labels: merged}


def test_labels_keep_figures_apart():
    merged = merge([snapshot((series.CPU, ("0",), 1.5)), snapshot((series.CPU, ("1",), 2.5))])
    assert merged.values[series.CPU.name] == {("0",): 1.5, ("1",): 2.5}


def test_a_reading_with_other_labels_than_its_series_is_a_defect():
    with pytest.raises(ValueError, match="ztproxy_connections has the labels"):
        Snapshot().take((series.CONNECTIONS, (), 1))


def test_of_a_worker_that_is_gone_its_counts_stay_and_its_gauges_go():
    last = snapshot((series.ACCEPTED, ("a",), 9), (series.CONNECTIONS, ("a",), 4), lag=(0, 0.1))
    remembered = merge([bury([last])])
    assert remembered.values == {series.ACCEPTED.name: {("a",): 9}}
    assert remembered.distributions[series.LOOP_LAG.name][()].counts[0] == 1


def test_sums_never_fall_while_workers_come_and_go():
    gathered = Gathered()
    seen = [0.0]

    def total() -> float:
        return merge(gathered.all()).values.get(series.ACCEPTED.name, {}).get(("a",), 0.0)

    for pid in range(1, 30):
        for count in (1, 5, 12):
            gathered.take(pid, snapshot((series.ACCEPTED, ("a",), count), (series.CONNECTIONS, ("a",), 2)))
            seen.append(total())
        gathered.gone(pid)
        seen.append(total())
    assert seen == sorted(seen)
    assert seen[-1] == 29 * 12
    assert len(gathered.all()) == 1
    assert series.CONNECTIONS.name not in merge(gathered.all()).values


def test_a_worker_that_does_not_answer_keeps_its_last_word():
    gathered = Gathered()
    gathered.take(1, snapshot((series.ACCEPTED, ("a",), 3)))
    gathered.take(2, snapshot((series.ACCEPTED, ("a",), 4)))
    gathered.take(2, snapshot((series.ACCEPTED, ("a",), 6)))  # only this one answered
    assert merge(gathered.all()).values[series.ACCEPTED.name] == {("a",): 9}
    gathered.gone(3)  # never heard of
    assert len(gathered.all()) == 2


def test_a_series_that_nobody_knows_is_left_out():
    stranger = msgspec.msgpack.encode({"values": {"made_up_total": {("x",): 1.0}}, "distributions": {}})
    assert merge([stranger]).values == {}


def test_what_is_no_snapshot_is_refused():
    with pytest.raises(msgspec.DecodeError):
        merge([b"nonsense"])


def test_the_catalogue_follows_prometheus_conventions():
    for name, one in CATALOGUE.items():
        assert name.startswith("ztproxy_")
        assert name.endswith("_total") == (one.kind == "counter"), name
        assert (one.kind == "histogram") == bool(one.bounds), name
        assert list(one.bounds) == sorted(set(one.bounds))
        assert one.help.endswith(".")
        assert not {"host", "path", "subject", "client", "token", "query"} & set(one.labels), name
        assert "le" not in one.labels
