"""The workers' words as one document."""

import msgspec
import pytest
from msgspec.structs import replace

from tests.observed import CERTIFICATE, ISSUER, LIMITS, LOGS, NOW, POLICY, REVOCATION, SERVER, worker
from ztproxy.observe.fleet import FleetStatus, Reloads, WorkerLine, joined
from ztproxy.observe.status import IntrospectionStatus, ProofsStatus, QueueStatus, StreamsStatus, decode, encode

LINES = (WorkerLine(10, "ready", NOW), WorkerLine(11, "ready", NOW, 2))


def of(*workers):
    return joined(workers, LINES, Reloads(1, 0, NOW), NOW)


def test_what_is_counted_is_added_up():
    made = of(worker(10), worker(11))
    (server,) = made.servers
    assert (server.in_flight, server.connections, server.requests, server.failures, server.retries) == (2, 8, 200, 4, 2)
    (listener,) = made.listeners
    assert (listener.open, listener.accepted, listener.handshakes) == (24, 80, 78)
    assert (made.memo.hits, made.memo.misses, made.memo.entries) == (60, 20, 16)
    assert made.limits.charged == {"token.subject": 180}
    assert made.limits.shadow_refused == {"route": 8}
    assert server.checks == 100
    assert listener.refused == {"connections.maximum": 10}
    assert made.queues == (QueueStatus("orders", 4, 6, 8),)
    assert (made.load.in_flight, made.load.refused) == (6, {"overload.requests": 2})
    assert made.streams == StreamsStatus({"websocket": 4}, {"websocket": 18}, {"token-expired": 2}, 6)


@pytest.mark.parametrize(
    ("kind", "good", "bad", "said"),
    [
        ("server", SERVER, replace(SERVER, healthy=False), lambda made: made.servers[0].healthy is False),
        ("server", SERVER, replace(SERVER, ejected=True), lambda made: made.servers[0].ejected is True),
        ("issuer", ISSUER, replace(ISSUER, keys=0), lambda made: made.issuers[0].keys == 0),
        ("issuer", ISSUER, replace(ISSUER, fetched_at=NOW - 9e4), lambda made: made.issuers[0].fetched_at == NOW - 9e4),
        ("certificate", CERTIFICATE, replace(CERTIFICATE, not_after=NOW), lambda m: m.certificates[0].not_after == NOW),
        ("revocation", REVOCATION, replace(REVOCATION, next_update=None), lambda m: not m.revocation[0].next_update),
        ("revocation", REVOCATION, replace(REVOCATION, this_update=None), lambda m: not m.revocation[0].this_update),
        ("revocation", REVOCATION, replace(REVOCATION, failures=2), lambda m: m.revocation[0].failures == 2),
        ("limits", LIMITS, replace(LIMITS, up=False), lambda made: made.limits.up is False),
        ("logs", LOGS, replace(LOGS, decisions_healthy=False), lambda made: made.logs.decisions_healthy is False),
    ],
)  # fmt: skip
def test_of_what_is_good_or_bad_the_worst_is_told(kind, good, bad, said):
    for order in ((good, bad), (bad, good)):
        assert said(of(*(worker(10 + index, **{kind: one}) for index, one in enumerate(order))))


def test_the_store_of_used_proofs_is_as_bad_as_its_worst_worker_says():
    def proofs(up, kept):
        return replace(worker(), judging=replace(worker().judging, proofs=ProofsStatus("machine", up, kept)))

    assert of(worker()).proofs is None
    assert of(proofs(True, None), proofs(False, None)).proofs == ProofsStatus("machine", False, None)
    assert of(proofs(None, 3), proofs(None, 4)).proofs == ProofsStatus("machine", None, 7)


def test_workers_that_differ_in_their_policy_are_told_apart():
    made = of(worker(10), worker(11, policy=replace(POLICY, revision="b" * 64)), worker(12))
    assert [policy.revision[0] for policy in made.policies] == ["a", "b"]


def test_without_workers_there_is_a_document_still():
    made = joined((), (), Reloads(), NOW)
    assert (made.limits, made.memo, made.load, made.logs, made.streams) == (None,) * 5
    assert made.listeners == ()


def test_both_travel_unchanged():
    assert decode(encode(worker())) == worker()
    made = of(worker())
    assert msgspec.json.decode(msgspec.json.encode(made), type=FleetStatus) == made


def test_questions_about_tokens_are_those_of_all_workers():
    def asked(waiting, outcomes, failure):
        one = IntrospectionStatus("https://a.test", waiting, outcomes, failure)
        return replace(worker(), judging=replace(worker().judging, introspection=(one,)))

    (one,) = of(asked(1, {"active": 2}, ""), asked(2, {"active": 3, "failed": 1}, "away")).introspection
    assert one == IntrospectionStatus("https://a.test", 3, {"active": 5, "failed": 1}, "away")
