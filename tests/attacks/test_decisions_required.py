"""Where every decision must be on record, nothing passes that would not be."""

import sqlite3
from contextlib import closing

import pytest

from ztproxy.config.loading import parse
from ztproxy.model import Arrived, Authorized, Connection, Reason, Refused
from ztproxy.observe import DecisionLog
from ztproxy.parts import build

TEXT = """\
version: 1
listeners: [{address: "127.0.0.1:0", protocol: http}]
policy: {path: policies}
routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]
logs: {decisions: decisions.db}
decisions: {required: REQUIRED}
"""
RULE = 'package ztproxy.authz\n\ndecision := input.request.method == "GET"\n'


@pytest.fixture
async def start(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "authz.rego").write_text(RULE)
    made = []

    def started(*, required, **options):
        settings = parse(TEXT.replace("REQUIRED", str(required).lower()), tmp_path / "z.yaml")
        parts = build(settings)
        log = DecisionLog.open(
            settings.logs.decisions, required=required, entrypoint=settings.policy.entrypoint, **options
        )
        made.append((parts, log))
        return parts.pipeline(log), log

    yield started
    for parts, log in made:
        log.close()
        await parts.close()


def asked(request_id, method="GET"):
    return Arrived(
        request_id=request_id, wall=0.0, monotonic=0.0,
        connection=Connection("127.0.0.1:0", "http", "192.0.2.1", 1, 80), source="192.0.2.1",
        method=method, scheme="http", host="h", port=80, authority=b"h", path="/x", segments=("x",),
        query="", has_query=False, fields=(), unverified_authorization=(), content_length=0,
    )  # fmt: skip


async def test_what_cannot_be_recorded_does_not_pass(start):
    pipeline, _ = start(required=True, waiting=0)
    outcome = await pipeline(asked("1"))
    assert isinstance(outcome, Refused)
    assert outcome.refusal.reason is Reason.POLICY_UNAVAILABLE


async def test_where_they_are_not_required_it_passes_and_is_counted(start):
    pipeline, log = start(required=False, waiting=0)
    assert isinstance(await pipeline(asked("1")), Authorized)
    assert log.lost == 1


async def test_each_decision_is_recorded_once_allowed_or_not(start, tmp_path):
    pipeline, log = start(required=True)
    assert isinstance(await pipeline(asked("1")), Authorized)
    assert isinstance(await pipeline(asked("2", "POST")), Refused)
    log.close()
    with closing(sqlite3.connect(tmp_path / "decisions.db")) as database:
        assert database.execute("SELECT request_id, allow FROM decisions ORDER BY rowid").fetchall() == [
            ("1", 1),
            ("2", 0),
        ]
