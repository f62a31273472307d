"""No client makes a series, and none reads its own words on a page that everybody may read."""

import re
from random import Random

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes import PEER
from ztproxy.model import (
    Admitted,
    Arrived,
    Authorized,
    Connection,
    Decision,
    Finished,
    HandshakeFailed,
    LimitStatus,
    Outcome,
    Reason,
    Refusal,
    Refused,
    Tls,
    Token,
)
from ztproxy.observe.exposition import exposition
from ztproxy.observe.metrics import Metrics

MARK = "z9x"
"""Stands in everything that a client chooses."""
RULES = ("source.address", "token.subject+route")


def ended(random: Random) -> Finished:
    """A request with everything of the client's own choosing, however far it came."""
    method, host, path, subject, query, name = (f"{MARK}{random.getrandbits(40):x}" for _ in range(6))
    connection = Connection(PEER.listener, "https", f"{MARK}::1", 1, 2, Tls("TLSv1.3", MARK, name))
    at = Arrived(
        host + path, 1.0, 1.0, connection, f"{MARK}::1", method, "https", host, 443, host.encode(), path, (path,),
        query, True, ((MARK.encode(), MARK.encode()),), (MARK.encode(),), 0,
    )  # fmt: skip
    token = Token(b"", f"https://{MARK}", subject, (MARK,), {}, "bearer", None, None, 0.0, MARK)
    limit = LimitStatus(random.choice(RULES), 1, 0, 1.0)
    decision = Decision(random.random() < 0.5, (MARK,), duration=random.random())
    admitted = Admitted(at, "orders", None, token, limit)
    refusal = Refusal(random.choice(tuple(Reason)), MARK, MARK, (MARK,), decision=decision, limit=limit)
    outcome: Outcome = random.choice(
        (
            Authorized(at, "orders", None, token, limit, decision),
            Refused(refusal, admitted),
            Refused(refusal, at),
            Refused(refusal, None),
        )
    )
    status = random.randrange(10_000)  # a server's, not checked here
    return Finished(outcome, MARK, 1.0, connection, status, 1, 1, random.random(), "http://s", 0.1, MARK)


def series(metrics: Metrics) -> set[tuple[str, ...]]:
    body, _ = exposition([metrics.snapshot()])
    text = body.decode()
    assert MARK not in text
    return {
        (sample.name, *sorted(sample.labels.values()))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_a_client_chooses_makes_no_series():
    metrics, random = Metrics(), Random(7)
    for _ in range(5000):
        metrics.finished(ended(random))
    labels: dict[str, set[tuple[str, ...]]] = {}
    for name, *values in series(metrics):
        labels.setdefault(name, set()).add(tuple(values))
    assert len(labels["ztproxy_requests_total"]) <= 2 * 7  # by route (or none) and class of status: all are `other`
    assert len(labels["ztproxy_refusals_total"]) <= 2 * len(Reason)
    assert len(labels["ztproxy_limit_refusals_total"]) == len(RULES)
    assert len(metrics._cells) <= 2 * 100


@pytest.mark.parametrize("cause", ["", MARK, f"certificate verify failed: {MARK}", f"{MARK}\n{MARK} alert"])
def test_what_a_client_shows_in_a_handshake_makes_no_series(cause):
    metrics = Metrics()
    for port in range(100):
        metrics.handshake_failed(
            HandshakeFailed(1.0, PEER.listener, f"{MARK}::{port}", port, f"{MARK}{port}", cause, MARK, MARK)
        )
    found = [one for one in series(metrics) if one[0] == "ztproxy_handshakes_total"]
    assert len(found) == 1


def test_every_name_that_the_page_uses_is_one_that_prometheus_takes():
    metrics = Metrics()
    body, _ = exposition([metrics.snapshot()])
    for line in body.decode().splitlines():
        assert re.match(r"#|[a-zA-Z_:][a-zA-Z0-9_:]*(\{| )", line)
