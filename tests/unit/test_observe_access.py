import json

import pytest

from ztproxy.model import (
    Admitted,
    Answer,
    Answered,
    Arrived,
    Authorized,
    Certificate,
    Connection,
    Decision,
    Finished,
    HandshakeFailed,
    Identified,
    LimitStatus,
    Reason,
    Refusal,
    Refused,
    Routed,
    Sans,
    Token,
)  # fmt: skip
from ztproxy.observe import AccessLog

FIELDS = [
    "time",
    "request_id",
    "listener",
    "route",
    "method",
    "host",
    "path",
    "status",
    "bytes_in",
    "bytes_out",
    "duration_ms",
    "upstream",
    "upstream_ms",
    "client",
    "certificate_fingerprint",
    "certificate_subject",
    "token_issuer",
    "token_subject",
    "decision",
    "reason",
    "policy_revision",
    "memo",
    "limit",
]
CONNECTION = Connection("0.0.0.0:8443", "https", "10.0.0.1", 1, 8443)
ARRIVED = Arrived(
    request_id="id", wall=1_700_000_000.1239, monotonic=5.0, connection=CONNECTION, source="192.0.2.7",
    method="GET", scheme="https", host="h.example", port=443, authority=b"h.example", path="/a/b", segments=("a", "b"),
    query="token=secret-query", has_query=True, fields=((b"x-api-key", b"secret-header"),),
    unverified_authorization=(b"Bearer secret-token",), content_length=0,
)  # fmt: skip
CERTIFICATE = Certificate(
    b"secret-der", "CN=alice", "alice", Sans(), None, "CN=ca", "01", "f" * 64, 0.0, 1.0, 3, False, None, ()
)
TOKEN = Token(b"digest", "https://idp", "alice", ("ztproxy",), {"x": "secret-claim"}, "bearer", None, None, 0.0, None)
STATUS = LimitStatus("token.subject", 100, 3, 0.5)
DECISION = Decision(allow=True, revision="r1", document=b'{"secret": 1}', result=b"true", memo="hit")
ADMITTED = Admitted(ARRIVED, "orders", CERTIFICATE, TOKEN, STATUS)
AUTHORIZED = Authorized(ARRIVED, "orders", CERTIFICATE, TOKEN, STATUS, DECISION)


def finished(outcome, **changed):
    values = {"status": 200, "bytes_in": 1, "bytes_out": 2, "duration": 0.0123456, **changed}
    return Finished(outcome, "id", 1_700_000_000.1239, CONNECTION, **values)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog.open(str(path))

    def write(*records):
        for record in records:
            (log.handshake_failed if isinstance(record, HandshakeFailed) else log.finished)(record)
        log.close()
        return [json.loads(line) for line in path.read_text("ascii").splitlines()]

    yield write
    log.close()


def test_an_allowed_request_in_full(written):
    (entry,) = written(finished(AUTHORIZED, upstream="https://10.0.0.5:8443", upstream_duration=0.01))
    assert list(entry) == FIELDS
    assert entry == {
        "time": "2023-11-14T22:13:20.123Z", "request_id": "id", "listener": "0.0.0.0:8443", "route": "orders",
        "method": "GET", "host": "h.example", "path": "/a/b", "status": 200, "bytes_in": 1, "bytes_out": 2,
        "duration_ms": 12.345, "upstream": "https://10.0.0.5:8443", "upstream_ms": 10.0, "client": "192.0.2.7",
        "certificate_fingerprint": "f" * 64, "certificate_subject": "CN=alice", "token_issuer": "https://idp",
        "token_subject": "alice", "decision": "allow", "reason": None, "policy_revision": "r1", "memo": "hit",
        "limit": {"name": "token.subject", "limit": 100, "remaining": 3, "reset": 0.5, "window": 1.0, "shadow": []},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("at", "known"),
    [
        (None, ()),
        (ARRIVED, ("method", "host", "path")),
        (Routed(ARRIVED, "orders"), ("method", "host", "path", "route")),
        (Identified(ARRIVED, "orders", None, TOKEN), ("method", "host", "path", "route", "token_issuer",
                                                       "token_subject")),
        (ADMITTED, ("method", "host", "path", "route", "token_issuer", "token_subject", "certificate_fingerprint",
                    "certificate_subject", "limit")),
    ],
)  # fmt: skip
def test_a_refusal_tells_as_much_as_was_known(written, at, known):
    (entry,) = written(finished(Refused(Refusal(Reason.REQUEST_MALFORMED), at), status=400))
    optional = set(FIELDS) - {
        "time", "request_id", "listener", "status", "bytes_in", "bytes_out", "duration_ms", "client", "reason"
    }  # fmt: skip
    assert entry["reason"] == "request-malformed"
    assert entry["client"] == ("10.0.0.1" if at is None else "192.0.2.7")
    assert {name for name in optional if entry[name] is not None} == set(known)


def test_a_denial_and_a_limit_that_was_hit(written):
    denied, limited, answered = written(
        finished(Refused(Refusal(Reason.POLICY_DENIED, decision=Decision(allow=False, revision="r2")), ADMITTED)),
        finished(Refused(Refusal(Reason.RATE_LIMITED, limit=STATUS), ARRIVED)),
        finished(Answered(Answer(200, (), b""), ARRIVED)),
    )
    assert (denied["decision"], denied["policy_revision"], denied["reason"]) == ("deny", "r2", "policy-denied")
    assert (limited["decision"], limited["limit"]["name"]) == (None, "token.subject")
    assert (answered["decision"], answered["reason"], answered["path"]) == (None, None, "/a/b")


def test_a_failed_handshake_is_a_line_of_its_own(written):
    (entry,) = written(
        HandshakeFailed(0.0, "0.0.0.0:8443", "192.0.2.7", 5, "h", "certificate has expired", "CN=old", "ab")
    )
    assert entry["event"] == "handshake-failed"
    assert (entry["time"], entry["cause"], entry["certificate_subject"]) == (
        "1970-01-01T00:00:00.000Z",
        "certificate has expired",
        "CN=old",
    )


def test_off_writes_nothing_and_the_streams_are_left_open(capfd):
    for target in ("off", "stdout"):
        log = AccessLog.open(target)
        log.finished(finished(AUTHORIZED))
        log.reopen()
        log.close()
        assert log.lost == 0
    assert capfd.readouterr().out.count("\n") == 1
    print("still there", flush=True)  # noqa: T201 - whether it works is the question
    assert capfd.readouterr().out == "still there\n"


def test_the_time_goes_on(written):
    entries = written(
        *[finished(AUTHORIZED)] * 2, Finished(AUTHORIZED, "id", 1_700_000_001.0, CONNECTION, 200, 0, 0, 0)
    )
    assert [entry["time"][-7:] for entry in entries] == ["20.123Z", "20.123Z", "21.000Z"]
