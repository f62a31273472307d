"""When a server is left out for what it did to requests, for how long, and how it proves itself again."""

import pytest

from ztproxy.config.upstreams import Outliers
from ztproxy.upstream.outliers import Record, may_eject


def outliers(**values) -> Outliers:
    return Outliers.model_validate({"failures": 3, "eject": "10s", "eject_at_most": "35s", **values})


def ejected(record: Record, now: float) -> float:
    """Fail until it must be left out; how long that is."""
    while not record.failed(now):
        pass
    return record.eject(now) - now


def test_failures_in_a_row_are_counted():
    record = Record(outliers())
    assert [record.failed(0.0), record.failed(0.0)] == [False, False]
    record.answered(200, 0.0)
    assert [record.failed(0.0), record.failed(0.0), record.failed(0.0)] == [False, False, True]


def test_gateway_errors_are_counted_only_where_configured():
    record = Record(outliers())
    assert not any(record.answered(503, 0.0) for _ in range(100))


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway_errors_in_a_row(status):
    record = Record(outliers(gateway_errors=2))
    assert not record.answered(status, 0.0)
    assert not record.answered(500, 0.0)  # the application's own
    assert not record.answered(status, 0.0)
    assert record.answered(status, 0.0)


def test_each_time_twice_as_long_up_to_a_bound():
    record = Record(outliers())
    now, lengths = 0.0, []
    for _ in range(4):
        lengths.append(ejected(record, now))
        now = record.ejected_until
    assert lengths == [10.0, 20.0, 35.0, 35.0]


def test_what_was_under_way_tells_nothing_new():
    record = Record(outliers())
    ejected(record, 0.0)
    assert not any(record.failed(5.0) for _ in range(10))


def test_back_one_failure_is_enough():
    record = Record(outliers())
    ejected(record, 0.0)
    assert record.failed(10.0)


def test_back_one_success_is_proof():
    record = Record(outliers())
    ejected(record, 0.0)
    record.answered(200, 10.0)
    assert not record.failed(11.0)
    assert ejected(record, 12.0) == 20.0  # not forgotten yet


def test_a_success_that_was_under_way_proves_nothing():
    record = Record(outliers())
    ejected(record, 0.0)
    record.answered(200, 5.0)
    assert record.failed(10.0)


def test_it_is_forgotten_in_time():
    record = Record(outliers())
    ejected(record, 0.0)
    record.answered(200, 10.0)
    record.answered(200, 20.0)
    assert ejected(record, 21.0) == 10.0


def test_a_thousand_times_is_no_overflow():
    record = Record(outliers())
    for number in range(1100):
        record.eject(float(number * 100))
    assert record.ejected_until == 1099 * 100 + 35.0


@pytest.mark.parametrize(
    ("ejected", "servers", "share", "may"),
    [(0, 2, 50, True), (1, 2, 50, False), (0, 1, 50, False), (0, 1, 100, True), (1, 3, 50, False), (0, 9, 0, False)],
)
def test_never_more_than_a_share(ejected, servers, share, may):
    assert may_eject(ejected, servers, outliers(maximum_ejected=share)) is may
