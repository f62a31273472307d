"""What in a status wants attention."""

import pytest
from msgspec.structs import replace

from tests.observed import CERTIFICATE, DAY, ISSUER, LIMITS, LOAD, LOGS, NOW, POLICY, REVOCATION, SERVER, worker
from ztproxy.observe.fleet import Reloads, WorkerLine, joined
from ztproxy.observe.problems import problems
from ztproxy.observe.status import IntrospectionStatus

READY = (WorkerLine(10, "ready", NOW),)


def found(*workers, lines=READY, reloads=None):
    return list(problems(joined(workers, lines, reloads or Reloads(1, 0, NOW), NOW)))


def test_a_proxy_that_is_well_has_none():
    assert found(worker()) == []


@pytest.mark.parametrize(
    ("kind", "changed", "said"),
    [
        ("issuer", replace(ISSUER, keys=0, failures=3, last_failure="no answer"), "login.test: no keys; its tokens"),
        ("issuer", replace(ISSUER, keys=0, fetched_at=None), "not fetched yet"),
        ("issuer", replace(ISSUER, failures=3, last_failure="no answer within 5 s"), "(3 times): no answer within 5 s"),
        ("certificate", replace(CERTIFICATE, not_after=NOW + 6.5 * DAY), "gateway.pem (listener) expires in 6.5 days"),
        ("certificate", replace(CERTIFICATE, not_after=NOW - 1), "gateway.pem (listener) has expired"),
        ("revocation", replace(REVOCATION, next_update=NOW - 1), "list of CN=Clients is not current"),
        ("revocation", replace(REVOCATION, next_update=None), "list of CN=Clients is not current"),
        ("revocation", replace(REVOCATION, this_update=None), "list of CN=Clients was never had: not fetched yet"),
        ("revocation", replace(REVOCATION, failures=2, last_failure="away"), "cannot be fetched (2 times): away"),
        ("revocation", replace(REVOCATION, kind="ocsp", failures=1, last_failure="away"), "no OCSP answers about"),
        ("server", replace(SERVER, healthy=False), "orders: http://10.0.0.5:8080 fails its health checks"),
        ("server", replace(SERVER, ejected=True), "orders: http://10.0.0.5:8080 is left out after failures"),
        ("limits", replace(LIMITS, up=False), "the storage (redis) does not answer"),
        ("load", replace(LOAD, overloaded=True), "overloaded"),
        ("logs", replace(LOGS, decisions_healthy=False), "decisions cannot be recorded"),
    ],
)  # fmt: skip
def test_each_is_said_once_though_every_worker_sees_it(kind, changed, said):
    (problem,) = found(worker(10, **{kind: changed}), worker(11, **{kind: changed}))
    assert said in problem


def test_a_certificate_with_a_week_left_is_none():
    assert found(worker(certificate=replace(CERTIFICATE, not_after=NOW + 7 * DAY))) == []


def test_a_reload_that_failed_is_said_with_its_problems():
    said = found(worker(), reloads=Reloads(1, 1, NOW, NOW, ("z.yaml:3:1: nonsense",)))
    assert said == ["the last reload failed, and what was there before is still in use: z.yaml:3:1: nonsense"]


def test_workers_that_are_not_there_are_said():
    assert found(lines=()) == ["no worker is ready"]
    dead = (*READY, WorkerLine(0, "dead", NOW, 2, 4))
    assert found(worker(), lines=dead) == ["worker 4 died, 3 times by now, and is not replaced yet"]


def test_policies_that_differ_are_said():
    (said,) = found(worker(10), worker(11, policy=replace(POLICY, revision="b" * 64)))
    assert said == f"workers decide by different policies: {'a' * 12}, {'b' * 12}"


def test_an_issuer_whose_metadata_or_word_on_tokens_cannot_be_had_is_said():
    issuer = replace(ISSUER, metadata_failure="answered 500")
    assert found(worker(issuer=issuer)) == [f"issuer {ISSUER.issuer}: its metadata cannot be fetched: answered 500"]
    asked = IntrospectionStatus("https://a.test", 0, {"failed": 1}, "no answer")
    one = replace(worker(), judging=replace(worker().judging, introspection=(asked,)))
    assert found(one) == ["issuer https://a.test cannot be asked about tokens: no answer"]
