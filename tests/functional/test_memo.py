"""Remembered decisions with the real program: who is told what, in both logs."""

import json
import signal
import sqlite3

import pytest

from tests.functional.gateway import Gateway

pytestmark = pytest.mark.slow

ASKED = ("/a?q=1", "/a?q=2", "/b", "/secret/x", "/secret/x")


async def asked(gateway):
    async with gateway.session() as session:
        for path in ASKED:
            async with session.get(path, headers=gateway.bearer()) as response:
                assert response.status == (403 if "secret" in path else 200)
    await gateway.stop(signal.SIGTERM)
    return gateway.access_log()


async def test_the_access_log_says_what_was_remembered_and_the_decision_log_misses_nothing(tmp_path):
    async with Gateway(tmp_path) as gateway:
        lines = await asked(gateway)
        assert [line["memo"] for line in lines] == ["miss", "hit", "miss", "miss", "hit"]
        assert [line["decision"] for line in lines] == ["allow", "allow", "allow", "deny", "deny"]
        with sqlite3.connect(gateway.folder / "var" / "decisions.db") as database:
            events = [json.loads(event) for (event,) in database.execute("SELECT event FROM decisions ORDER BY rowid")]
        database.close()
        assert [event["decision_id"] for event in events] == [line["request_id"] for line in lines]
        assert [event["input"]["request"]["id"] for event in events] == [line["request_id"] for line in lines]
        assert [event["input"]["request"]["query"] for event in events[:2]] == [{"q": ["**MASKED**"]}] * 2
        assert [seen["headers"]["X-Role"] for seen in gateway.seen] == ["reader"] * 3


async def test_it_can_be_turned_off(tmp_path):
    async with Gateway(tmp_path, policy="{path: policies, deadline: 1s, memo: off}") as gateway:
        assert [line["memo"] for line in await asked(gateway)] == ["off"] * len(ASKED)
