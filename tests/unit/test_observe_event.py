import json

import pytest

from ztproxy.model import (
    Admitted,
    Answer,
    Answered,
    Arrived,
    Authorized,
    Connection,
    Decision,
    Reason,
    Refusal,
    Refused,
)
from ztproxy.observe.event import MASK, decided, recorded

ARRIVED = Arrived(
    request_id="id", wall=5.0, monotonic=5.0, connection=Connection("l", "https", "10.0.0.1", 1, 2), source="192.0.2.7",
    method="GET", scheme="https", host="h", port=443, authority=b"h", path="/", segments=(), query="", has_query=False,
    fields=(), unverified_authorization=(b"Bearer secret",), content_length=0,
)  # fmt: skip
ADMITTED = Admitted(ARRIVED, "orders", None, None, None)
INPUT = {
    "request": {
        "path": "/",
        "headers": {"x-role": ["a", "b"], "x-key": ["s3cret"], "cookie": ["s3cret"], "a/b~c": ["s3cret"]},
        "query": {"q": ["s3cret", "s3cret"]},
    },
    "token": {"claims": {"sub": "alice", "n": 12345678901234567890123}},
}


def event(document=None, reads=(), **decision):
    document = json.dumps(INPUT).encode() if document is None else document
    made = Decision(**{"allow": True, "document": document, "result": b'{"allow":true}', "revision": "r1", **decision})
    row = recorded(ADMITTED, made, timestamp="T", path="ztproxy/authz/decision", labels={"app": "ztproxy"}, reads=reads)
    assert (row.request_id, row.time, row.allow, row.route) == ("id", 5.0, made.allow, "orders")
    return json.loads(row.event)


def test_it_is_opa_s_own_format():
    made = event(duration=0.000123)
    assert set(made) == {
        "labels", "decision_id", "revision", "path", "input", "result", "timestamp", "metrics", "requested_by", "masked"
    }  # fmt: skip
    assert made["decision_id"] == "id"
    assert made["path"] == "ztproxy/authz/decision"
    assert made["result"] == {"allow": True}
    assert made["metrics"] == {"timer_rego_query_eval_ns": 123000}
    assert made["requested_by"] == "192.0.2.7"
    assert made["input"]["token"] == INPUT["token"]


def test_values_that_the_policy_does_not_read_are_masked_and_named():
    made = event(reads={("request", "headers", "x-role"), ("request", "path")})
    assert made["input"]["request"]["headers"]["x-role"] == ["a", "b"]
    assert made["input"]["request"]["query"] == {"q": [MASK, MASK]}
    assert made["masked"] == [
        "/input/request/headers/x-key",
        "/input/request/headers/cookie",
        "/input/request/headers/a~1b~0c",
        "/input/request/query/q",
    ]
    assert "s3cret" not in json.dumps(made)


def test_without_word_of_what_is_read_everything_is_masked():
    assert set(event()["input"]["request"]["headers"]) == {"x-role", "x-key", "cookie", "a/b~c"}
    assert "s3cret" not in json.dumps(event())


@pytest.mark.parametrize("reads", [{()}, {("request",)}, {("request", "headers")}, {("request", "headers", "cookie")}])
def test_credentials_are_masked_even_if_read(reads):
    assert event(reads=reads)["input"]["request"]["headers"]["cookie"] == [MASK]


@pytest.mark.parametrize(
    "document",
    [b"", b"null", b"[]", b'{"request":1}', b'{"request":{"headers":[["s3cret"]],"query":{}}}', b"[" * 100_000,
     b'{"request":{"headers":{"k":"s3cret"},"query":5}}', b'{"s3cret":' + b"9" * 5000 + b"}", b"\xff"],
)  # fmt: skip
def test_an_input_that_cannot_be_read_is_left_out_and_the_decision_is_told_all_the_same(document):
    made = event(document)
    assert made["input"] is None
    assert made["erased"] == ["/input"]
    assert made["result"] == {"allow": True}


def test_a_lone_surrogate_hides_nothing():
    made = event(json.dumps({**INPUT, "source": "\ud800"}).encode())
    assert made["input"]["source"] == "\ufffd"
    assert made["input"]["token"]["claims"]["sub"] == "alice"


def test_only_what_carries_a_decision_is_an_event():
    decision = Decision(allow=False)
    authorized = Authorized(ARRIVED, "orders", None, None, None, decision)
    denied = Refused(Refusal(Reason.POLICY_DENIED, decision=decision), ADMITTED)
    assert decided(authorized) == (authorized, decision)
    assert decided(denied) == (ADMITTED, decision)
    assert decided(Refused(Refusal(Reason.POLICY_TIMEOUT), ADMITTED)) is None
    assert decided(Refused(Refusal(Reason.REQUEST_MALFORMED), None)) is None
    assert decided(Answered(Answer(200, (), b""), ARRIVED)) is None
