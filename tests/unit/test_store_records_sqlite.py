import asyncio
import os
import sqlite3
import stat
import subprocess
import sys

import pytest

from tests.records import NOW, Bounded, Contract
from ztproxy.store.records import RecordsUnavailableError
from ztproxy.store.records_sqlite import SqliteRecords
from ztproxy.store.unusable import StoreError


@pytest.fixture
async def records(tmp_path):
    records = SqliteRecords(tmp_path / "var/records.db")
    yield records
    await records.close()


class TestSqlite(Contract):
    pass


class TestBounds(Bounded):
    @pytest.fixture
    async def small(self, tmp_path):
        small = SqliteRecords(tmp_path / "small.db", maximum=16, maximum_octets=64 * 1024)
        yield small
        await small.close()


async def test_it_is_there_after_a_restart(tmp_path):
    before = SqliteRecords(tmp_path / "records.db")
    await before.add(b"sone", b"value", NOW + 10, NOW, [b"oa"])
    await before.close()
    after = SqliteRecords(tmp_path / "records.db")
    assert (await after.get(b"sone", NOW)).value == b"value"
    assert await after.owned(b"oa", NOW) == (b"sone",)
    await after.close()


async def test_two_processes_see_each_others(records, tmp_path):
    other = SqliteRecords(tmp_path / "var/records.db")
    await records.add(b"cone", b"code", NOW + 10, NOW)
    taken = await asyncio.gather(*(one.take(b"cone", NOW) for one in (records, other, records, other)))
    assert [one.value for one in taken if one is not None] == [b"code"]
    await other.close()


async def test_nobody_else_can_read_any_of_its_files(records, tmp_path):
    await records.add(b"sone", b"value", NOW + 10, NOW)
    files = list((tmp_path / "var").iterdir())
    assert {path.name for path in files} >= {"records.db", "records.db-wal"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "records.db"
    path.touch()
    path.chmod(mode)
    with pytest.raises(StoreError, match="is open to others"):
        SqliteRecords(path)


def test_a_folder_that_others_can_write_is_refused(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StoreError, match="writable by nobody else"):
        SqliteRecords(folder / "records.db")


def test_a_link_is_refused(tmp_path):
    target = tmp_path / "target"
    target.touch(0o600)
    (tmp_path / "records.db").symlink_to(target)
    with pytest.raises(StoreError, match="is not a file"):
        SqliteRecords(tmp_path / "records.db")


def test_another_programs_file_is_left_alone(tmp_path):
    path = tmp_path / "records.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE precious (a)")
    other.close()
    path.chmod(0o600)
    with pytest.raises(StoreError, match="another program's"):
        SqliteRecords(path)
    path.write_bytes(b"this is no database at all, but it is long enough to be looked at as one" * 10)
    with pytest.raises(StoreError, match="cannot be used"):
        SqliteRecords(path)


async def test_a_file_held_by_another_is_waited_for_a_bounded_time_off_the_loop(tmp_path):
    records = SqliteRecords(tmp_path / "records.db", timeout=0.05)
    await records.add(b"sone", b"value", NOW + 10, NOW)
    holder = sqlite3.connect(tmp_path / "records.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RecordsUnavailableError, match="locked"):
        await records.add(b"stwo", b"value", NOW + 10, NOW)
    assert (await records.get(b"sone", NOW)).value == b"value", "who only reads waits for nobody"
    holder.execute("COMMIT")
    holder.close()
    assert await records.add(b"stwo", b"value", NOW + 10, NOW)
    await records.close()


async def test_what_is_over_is_swept_away(records, tmp_path):
    for number in range(9):
        await records.add(b"s%02d" % number, b"value", NOW + 10, NOW, [b"oa"])
    await records.add(b"slater", b"value", NOW + 1000, NOW + 100)
    with sqlite3.connect(tmp_path / "var/records.db") as looking:
        assert looking.execute("SELECT count(*) FROM record").fetchone() == (1,)
        assert looking.execute("SELECT count(*) FROM owner").fetchone() == (0,)
    looking.close()


_MAKE = """
import asyncio, sys
from pathlib import Path
from ztproxy.store.records_sqlite import SqliteRecords
async def main():
    records = SqliteRecords(Path(sys.argv[1]))
    print(await records.add(b"sone", b"value", 2000000000.0, 1800000000.0))
    await records.close()
asyncio.run(main())
"""


@pytest.mark.slow
def test_workers_that_start_at_once_make_one_file(tmp_path):
    command = [sys.executable, "-c", _MAKE, str(tmp_path / "records.db")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(4)]
    said = [worker.communicate()[0].strip() for worker in workers]
    assert sorted(said) == ["False", "False", "False", "True"]
