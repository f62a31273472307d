import json
import sqlite3
import time
from contextlib import closing
from threading import Event

import msgspec
import pytest

from ztproxy.model import Arrived, Authorized, Connection, Decision, Reason, Refusal, Refused
from ztproxy.observe import DecisionLog

ARRIVED = Arrived(
    request_id="id", wall=1_700_000_000.5, monotonic=5.0, connection=Connection("l", "https", "10.0.0.1", 1, 2),
    source="192.0.2.7",
    method="GET", scheme="https", host="h", port=443, authority=b"h", path="/", segments=(), query="", has_query=False,
    fields=(), unverified_authorization=(), content_length=0,
)  # fmt: skip
DECISION = Decision(allow=True, document=b'{"request":{"headers":{},"query":{}}}', result=b"true")


def authorized(request_id, decision=DECISION):
    return Authorized(msgspec.structs.replace(ARRIVED, request_id=request_id), "orders", None, None, None, decision)


def rows(path):
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT request_id, time, allow, route, event FROM decisions ORDER BY rowid").fetchall()


def opened(path, required=True, **changed):
    return DecisionLog.open(path, required=required, entrypoint="ztproxy/authz/decision", **changed)


def until(condition, deadline=5.0):
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)  # another thread's state: nothing to wait on from outside


@pytest.fixture
def path(tmp_path):
    return tmp_path / "decisions.db"


def test_decisions_are_recorded_and_the_file_is_the_proxy_s_alone(path):
    log = opened(path, labels={"id": "proxy-1"})
    log.record(authorized("1"))
    log.record(Refused(Refusal(Reason.TOKEN_MISSING), ARRIVED))
    log.record(authorized("2", Decision(allow=False)))
    until(lambda: len(rows(path)) == 2)
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        assert name.stat().st_mode & 0o777 == 0o600
    log.close()
    first, second = rows(path)
    assert first[:4] == ("1", 1_700_000_000.5, 1, "orders")
    assert second[:3] == ("2", 1_700_000_000.5, 0)
    event = json.loads(first[4])
    assert event["timestamp"] == "2023-11-14T22:13:20.500Z"
    assert event["labels"]["app"] == "ztproxy"
    assert event["labels"]["id"] == "proxy-1"


def test_it_outlives_a_restart_and_changes_no_event(path):
    for _ in range(2):
        log = opened(path)
        log.record(authorized("1", Decision(allow=False)))
        log.record(authorized("1", Decision(allow=True)))
        log.close()
    assert [row[2] for row in rows(path)] == [0]


def test_the_oldest_go_first(path):
    log = opened(path, retained=10)
    for number in range(25):
        log.record(authorized(str(number)))
    log.close()
    assert [row[0] for row in rows(path)] == [str(number) for number in range(15, 25)]


def test_what_the_policy_reads_is_asked_anew(path):
    reads = [set()]
    log = opened(path, reads=lambda: reads[0])
    document = b'{"request":{"headers":{"x-role":["admin"]},"query":{}}}'
    log.record(authorized("1", Decision(allow=True, document=document)))
    until(lambda: len(rows(path)) == 1)
    reads[0] = {("request", "headers", "x-role")}
    log.record(authorized("2", Decision(allow=True, document=document)))
    log.close()
    assert ["admin" in row[4] for row in rows(path)] == [False, True]


@pytest.mark.parametrize("kind", ["folder", "no database"])
def test_where_decisions_are_required_a_bad_file_stops_the_start(path, kind):
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"no database" * 100)
    with pytest.raises(OSError, match=r"decisions\.db"):
        opened(path)
    said = []
    log = opened(path, required=False, report=said.append)
    assert not log.healthy
    assert log.available()
    assert "cannot be written" in said[0]
    log.close()


@pytest.mark.slow
def test_what_cannot_be_written_waits_and_is_written_once_it_can(path):
    said, back = [], Event()

    def report(line):
        said.append(line)
        if "again" in line:
            back.set()

    log = opened(path, report=report)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    log.record(authorized("1"))
    until(lambda: not log.healthy)
    assert not log.available()
    other.rollback()
    other.close()
    assert back.wait(10)
    assert log.available()
    log.close()
    assert [row[0] for row in rows(path)] == ["1"]
    assert (len(said), log.lost) == (2, 0)


@pytest.mark.slow
def test_what_waits_is_bounded_and_what_is_lost_is_counted(path):
    log = opened(path, report=lambda _: None, waiting=10)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    for number in range(25):
        log.record(authorized(str(number)))
    assert log.lost == 15
    assert not log.available()
    other.rollback()
    other.close()
    log.close()
    assert len(rows(path)) == 10


@pytest.mark.slow
def test_what_waits_is_bounded_in_octets_too(path):
    log = opened(path, report=lambda _: None, waiting_size=100_000)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    large = b'{"request":{"headers":{"x":["%s"]},"query":{}}}' % (b"x" * 30_000)
    for number in range(10):
        log.record(authorized(str(number), Decision(allow=False, document=large)))
    assert log.lost == 6
    assert not log.available()
    other.rollback()
    other.close()
    until(log.available)
    assert log._taken == log._given
    log.record(authorized("after"))
    log.close()
    assert [row[0] for row in rows(path)] == ["0", "1", "2", "3", "after"]
