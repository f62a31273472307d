import logging

import pytest

from ztproxy.model import Connection, Finished, Reason, Refusal, Refused
from ztproxy.observe.causes import Causes

CONNECTION = Connection("127.0.0.1:1", "https", "127.0.0.1", 1, 2)


def failed(reason: Reason, cause: str, *, cut: str | None = None) -> Finished:
    return Finished(
        Refused(Refusal(reason, cause=cause), None),
        "id1",
        0.0,
        CONNECTION,
        reason.status,
        0,
        0,
        0.0,
        "http://b",
        cut=cut,
    )


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def causes(now) -> Causes:
    return Causes(lambda: now[0])


def test_what_the_operator_has_to_mend_is_told(causes, caplog):
    causes.finished(failed(Reason.UPSTREAM_UNREACHABLE, "connection refused"))
    assert caplog.messages == ["id1 upstream-unreachable [http://b]: connection refused"]


def test_what_a_client_did_is_not(causes, caplog):
    causes.finished(failed(Reason.TOKEN_EXPIRED, "long ago"))
    assert not caplog.messages


def test_a_flood_is_one_line_a_second_with_a_count(causes, now, caplog):
    for _ in range(50):
        causes.finished(failed(Reason.POLICY_ERROR, "eval_conflict_error"))
    now[0] += 1.0
    causes.finished(failed(Reason.POLICY_ERROR, "eval_conflict_error"))
    assert len(caplog.messages) == 2
    assert caplog.messages[1].endswith("(49 more left out)")


def test_nothing_from_outside_forges_a_line(causes, caplog):
    with caplog.at_level(logging.WARNING):
        causes.finished(failed(Reason.UPSTREAM_PROTOCOL_ERROR, "bad\r\nid2 \x1b[31mforged\u2028"))
    assert caplog.messages == ["id1 upstream-protocol-error [http://b]: bad\\r\\nid2 \\x1b[31mforged\\u2028"]
