"""Records in a real Redis: the same as in memory, and what happens while it is away."""

import shutil

import pytest
import redis

from tests.functional.redis_server import RedisServer
from tests.records import NOW, Contract
from ztproxy.store.records import RecordsUnavailableError
from ztproxy.store.records_redis import RedisRecords

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs Redis: apt-get install redis-server"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
async def records(server):
    with redis.Redis(port=server.port) as plain:
        plain.flushall()
    records = RedisRecords(server.uri, timeout=2.0)
    yield records
    await records.close()


class TestRedis(Contract):
    pass


async def test_two_machines_see_each_others(records, server):
    other = RedisRecords(server.uri, timeout=2.0)
    await records.add(b"cone", b"code", NOW + 10, NOW)
    assert (await other.take(b"cone", NOW)).value == b"code"
    assert await records.take(b"cone", NOW) is None
    await other.close()


async def test_redis_itself_lets_go_of_what_is_over(records, server):
    await records.add(b"sone", b"value", NOW + 100, NOW, [b"oa"])
    with redis.Redis(port=server.port) as plain:
        lasting = {key: plain.pttl(key) for key in plain.scan_iter()}
    assert len(lasting) == 3
    assert all(99_000 < left <= 100_000 for left in lasting.values())


async def test_it_does_not_wait_for_a_server_that_is_away_and_is_back_with_it(tmp_path):
    server = RedisServer(tmp_path)
    told = []
    records = RedisRecords(server.uri, timeout=2.0, report=told.append)
    try:
        await records.add(b"sone", b"value", NOW + 10, NOW)
        server.kill()
        for operation in (
            records.get(b"sone", NOW),
            records.add(b"stwo", b"value", NOW + 10, NOW),
            records.take(b"sone", NOW),
            records.owned(b"oa", NOW),
            records.listed(b"s", b"", 10, NOW),
        ):
            with pytest.raises(RecordsUnavailableError):
                await operation
        assert "redis is away" in told[0]
        server.start()
        while "redis is back" not in told[-1]:
            await records._rounds._recovery
        assert await records.add(b"sone", b"value", NOW + 10, NOW)
    finally:
        await records.close()
        server.kill()


async def test_a_server_that_forgets_to_make_room_is_not_used(records, server):
    with redis.Redis(port=server.port) as plain:
        plain.config_set("maxmemory", "100mb")
        plain.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(RecordsUnavailableError, match="noeviction"):
                await records.add(b"sone", b"value", NOW + 10, NOW)
        finally:
            plain.config_set("maxmemory", "0")
            plain.config_set("maxmemory-policy", "noeviction")


async def test_what_is_kept_is_named_so_that_nobody_reads_it(records, server):
    await records.add(b"s" + bytes(range(32)), b"sealed", NOW + 10, NOW, [b"o" + bytes(range(32, 64))])
    with redis.Redis(port=server.port) as plain:
        assert all(key.startswith(b"ztproxy:records:") and key.isascii() for key in plain.scan_iter())
