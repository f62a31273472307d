"""What a worker counts."""

from typing import Any

import msgspec
import pytest

from tests.fakes import PEER
from ztproxy.model import (
    Admitted,
    Answer,
    Answered,
    Arrived,
    Authorized,
    Decision,
    Finished,
    HandshakeFailed,
    LimitStatus,
    Outcome,
    Reason,
    Refusal,
    Refused,
)
from ztproxy.observe import catalogue as series
from ztproxy.observe.metrics import Metrics
from ztproxy.observe.snapshot import Snapshot, merge


def arrived(method: str = "GET") -> Arrived:
    return Arrived(
        "id", 1.0, 1.0, PEER, "192.0.2.7", method, "https", "h", 443, b"h", "/", ("",), "", False, (), (), 0
    )  # fmt: skip


def told(metrics: Metrics) -> Snapshot:
    return merge([metrics.snapshot()])


def finished(outcome: Outcome, status: int = 200, **more: Any) -> Finished:
    return Finished(outcome, "id", 1.0, PEER, status, **{"bytes_in": 0, "bytes_out": 0, "duration": 0.001, **more})


def admitted(method: str = "GET") -> Admitted:
    return Admitted(arrived(method), "orders", None, None, None)


def allowed(duration: float = 0.00004, method: str = "GET") -> Authorized:
    at = admitted(method)
    return Authorized(at.arrived, at.route, None, None, None, Decision(allow=True, duration=duration))


def test_a_request_is_counted_by_route_method_and_status_class():
    metrics = Metrics()
    for status in (200, 204, 304, 404, 502):
        metrics.finished(finished(allowed(), status))
    metrics.finished(finished(allowed(method="POST")))
    assert told(metrics).values[series.REQUESTS.name] == {
        ("orders", "GET", "2xx"): 2,
        ("orders", "GET", "3xx"): 1,
        ("orders", "GET", "4xx"): 1,
        ("orders", "GET", "5xx"): 1,
        ("orders", "POST", "2xx"): 1,
    }


def test_methods_and_statuses_that_somebody_made_up_are_other():
    metrics = Metrics()
    for number in range(1000):
        metrics.finished(finished(allowed(method=f"MADE-UP-{number}"), 600 + number))
    assert told(metrics).values[series.REQUESTS.name] == {("orders", "other", "other"): 1000}
    assert len(metrics._cells) < 20


def test_a_request_whose_client_was_gone_has_no_status():
    metrics = Metrics()
    metrics.finished(finished(allowed(), 0, cut="the client went away"))
    snapshot = told(metrics)
    assert snapshot.values[series.REQUESTS.name] == {("orders", "GET", "none"): 1}
    assert snapshot.values[series.BROKEN.name] == {("orders",): 1}


def test_durations_and_sizes_are_added_up_by_route():
    metrics = Metrics()
    for duration, size in ((0.0005, 10), (0.0006, 20), (100.0, 30)):
        metrics.finished(
            finished(allowed(), duration=duration, upstream_duration=duration / 2, bytes_in=size, bytes_out=2 * size)
        )
    snapshot = told(metrics)
    took = snapshot.distributions[series.DURATION.name][("orders",)]
    assert (took.counts[0], took.counts[1], took.counts[-1], sum(took.counts)) == (1, 1, 1, 3)
    assert took.sum == pytest.approx(100.0011)
    upstream = snapshot.distributions[series.UPSTREAM_DURATION.name][("orders",)]
    assert (upstream.counts[0], upstream.counts[-1], sum(upstream.counts)) == (2, 1, 3)
    assert snapshot.values[series.RECEIVED.name] == {("orders",): 60}
    assert snapshot.values[series.SENT.name] == {("orders",): 120}


def test_an_upgraded_connection_counts_as_a_request_and_not_as_a_slow_one():
    metrics = Metrics()
    metrics.finished(finished(allowed(), 101, duration=3600.0))
    snapshot = told(metrics)
    assert snapshot.values[series.REQUESTS.name] == {("orders", "GET", "1xx"): 1}
    took = snapshot.distributions[series.DURATION.name]["orders",]
    assert (sum(took.counts), took.sum) == (0, 0)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.word)
def test_a_refusal_is_counted_by_its_reason(reason):
    metrics = Metrics()
    metrics.finished(finished(Refused(Refusal(reason), admitted()), reason.status))
    assert told(metrics).values[series.REFUSALS.name] == {("orders", reason.word): 1}


def test_a_refusal_before_there_was_a_route_belongs_to_none():
    metrics = Metrics()
    metrics.finished(finished(Refused(Refusal(Reason.REQUEST_MALFORMED), None), 400))
    metrics.finished(finished(Refused(Refusal(Reason.ROUTE_NOT_FOUND), arrived()), 404))
    snapshot = told(metrics)
    assert snapshot.values[series.REFUSALS.name] == {("-", "request-malformed"): 1, ("-", "route-not-found"): 1}
    assert snapshot.values[series.REQUESTS.name] == {("-", "other", "4xx"): 1, ("-", "GET", "4xx"): 1}


def test_what_the_proxy_answers_itself_belongs_to_no_route():
    metrics = Metrics()
    metrics.finished(finished(Answered(Answer(200, (), b"{}"), arrived())))
    assert told(metrics).values[series.REQUESTS.name] == {("-", "GET", "2xx"): 1}


def test_decisions_are_counted_by_their_result():
    metrics = Metrics()
    metrics.finished(finished(allowed()))
    denied = Refusal(Reason.POLICY_DENIED, decision=Decision(allow=False, duration=0.0002))
    metrics.finished(finished(Refused(denied, admitted()), 403))
    undefined = Refusal(Reason.POLICY_TIMEOUT, decision=Decision(allow=False, duration=0.05))
    metrics.finished(finished(Refused(undefined, admitted()), 403))
    away = Refusal(Reason.POLICY_UNAVAILABLE)
    metrics.finished(finished(Refused(away, admitted()), 503))
    failed_later = Refusal(Reason.UPSTREAM_TIMEOUT, decision=Decision(allow=True, duration=0.0002))
    metrics.finished(finished(Refused(failed_later, admitted()), 504))
    before_it = Refusal(Reason.TOKEN_MISSING)
    metrics.finished(finished(Refused(before_it, admitted()), 401))
    snapshot = told(metrics)
    assert snapshot.values[series.DECISIONS.name] == {
        ("orders", "allow"): 2,
        ("orders", "deny"): 1,
        ("orders", "error"): 2,
    }
    took = snapshot.distributions[series.DECISION_DURATION.name][()]
    assert (sum(took.counts), took.sum) == (4, pytest.approx(0.05044))


def test_a_decision_that_the_engine_was_not_asked_for_takes_no_time():
    metrics = Metrics()
    metrics.finished(finished(allowed(duration=0.0)))
    snapshot = told(metrics)
    assert snapshot.values[series.DECISIONS.name] == {("orders", "allow"): 1}
    assert sum(snapshot.distributions[series.DECISION_DURATION.name][()].counts) == 0


def test_an_empty_bucket_is_counted_under_its_rule():
    metrics = Metrics()
    refusal = Refusal(Reason.RATE_LIMITED, limit=LimitStatus("token.subject+route", 10, 0, 1.0))
    metrics.finished(finished(Refused(refusal, admitted()), 429))
    metrics.finished(finished(Refused(msgspec.structs.replace(refusal, limit=None), admitted()), 429))
    snapshot = told(metrics)
    assert snapshot.values[series.LIMIT_REFUSALS.name] == {("token.subject+route",): 1}
    assert snapshot.values[series.REFUSALS.name] == {("orders", "rate-limited"): 2}


def test_a_failed_handshake_is_counted_by_its_cause():
    metrics = Metrics()
    for port in range(2):
        metrics.handshake_failed(
            HandshakeFailed(1.0, "0.0.0.0:8443", "192.0.2.1", port, "secret.example", "the handshake took too long")
        )
    assert told(metrics).values[series.HANDSHAKES.name] == {("0.0.0.0:8443", "timed-out"): 2}


def test_lag_is_counted():
    metrics = Metrics()
    metrics.lagged(0.0001)
    metrics.lagged(7.0)
    took = told(metrics).distributions[series.LOOP_LAG.name][()]
    assert (took.counts[0], took.counts[-1], took.sum) == (1, 1, pytest.approx(7.0001))


def test_a_source_is_asked_for_each_snapshot():
    metrics = Metrics()
    hits = 0

    def source() -> list[tuple[Any, tuple[str, ...], float]]:
        return [(series.MEMO_HITS, (), hits), (series.MEMO_ENTRIES, (), 7)]

    metrics.watch(source)
    hits = 5
    snapshot = told(metrics)
    assert snapshot.values[series.MEMO_HITS.name] == {(): 5}
    assert snapshot.values[series.MEMO_ENTRIES.name] == {(): 7}


def test_what_a_source_had_counted_stays_when_it_is_replaced():
    metrics = Metrics()
    stop = metrics.watch(lambda: [(series.MEMO_HITS, (), 5), (series.MEMO_ENTRIES, (), 7)])
    stop()
    stop()  # twice counts once
    metrics.watch(lambda: [(series.MEMO_HITS, (), 1), (series.MEMO_ENTRIES, (), 2)])
    snapshot = told(metrics)
    assert snapshot.values[series.MEMO_HITS.name] == {(): 6}
    assert snapshot.values[series.MEMO_ENTRIES.name] == {(): 2}


def test_a_count_that_was_taken_over_is_not_counted_twice():
    metrics = Metrics()
    hits = {"a": 5}
    source: Any = lambda: [(series.LIMIT_SHADOW, (name,), count) for name, count in hits.items()]  # noqa: E731
    before = metrics.watch(source)
    after = metrics.watch(source, from_now=True)
    before()
    hits.update(a=7, b=1)
    assert told(metrics).values[series.LIMIT_SHADOW.name] == {("a",): 7, ("b",): 1}
    after()
    assert told(metrics).values[series.LIMIT_SHADOW.name] == {("a",): 7, ("b",): 1}


def test_what_can_go_wrong_is_there_before_it_does():
    metrics = Metrics()
    metrics.expect(["orders"])
    metrics.finished(finished(Refused(Refusal(Reason.UPSTREAM_TIMEOUT), admitted()), 504))
    metrics.expect(["orders"])
    snapshot = told(metrics)
    assert snapshot.values[series.REFUSALS.name]["orders", "internal-error"] == 0
    assert snapshot.values[series.REFUSALS.name]["orders", "upstream-timeout"] == 1
    assert snapshot.values[series.REFUSALS.name]["-", "overloaded"] == 0
    assert ("orders", "token-missing") not in snapshot.values[series.REFUSALS.name]
    assert snapshot.values[series.DECISIONS.name] == {(("orders", result)): 0 for result in ("allow", "deny", "error")}
