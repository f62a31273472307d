"""Used proofs in a real Redis: shared by machines, and whoever cannot ask it lets nobody in."""

import asyncio
import os
import shutil
import signal
import time
from contextlib import suppress

import pytest
import redis

from tests.functional.redis_server import RedisServer
from tests.issuer_server import World
from tests.proofs import Holder
from ztproxy.identity.replays import StoreAwayError, Use
from ztproxy.identity.replays_redis import RedisReplays
from ztproxy.model import Identified

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs Redis: apt-get install redis-server"),
]
NOW = time.time() + 3600
"""Proofs of this test are from after whatever began."""


@pytest.fixture
def server(tmp_path):
    running = RedisServer(tmp_path)
    yield running
    with suppress(ProcessLookupError):
        os.kill(running.process.pid, signal.SIGCONT)
    running.kill()


@pytest.fixture
def client(server):
    with redis.Redis(port=server.port, decode_responses=True) as connected:
        yield connected


@pytest.fixture
async def make(server):
    made = []

    def one(lasting=65.0, timeout=5.0, **options):
        made.append(RedisReplays(server.uri, password=None, lasting=lasting, timeout=timeout, **options))
        return made[-1]

    yield one
    for each in made:
        await each.close()


def name(number):
    return number.to_bytes(32, "big")


async def test_of_many_at_once_on_many_machines_one_is_the_first(make):
    machines = [make() for _ in range(3)]
    uses = await asyncio.gather(*[machine.use(name(1), NOW, 0.0) for machine in machines for _ in range(50)])
    assert uses.count(Use.FIRST) == 1
    assert uses.count(Use.REPEATED) == 149


async def test_they_share_round_trips(make, client):
    machine = make()
    await machine.use(name(0), NOW, 0.0)
    client.config_resetstat()
    uses = await asyncio.gather(*[machine.use(name(1 + number), NOW, 0.0) for number in range(500)])
    assert uses == [Use.FIRST] * 500
    assert client.info("stats")["total_connections_received"] <= 1


async def test_what_is_kept_tells_nothing_and_ends(make, client):
    await make(lasting=65.0).use(name(7), NOW, 0.0)
    keys = sorted(client.keys())
    assert keys == [f"ztproxy:proofs:{name(7).hex()}", "ztproxy:proofs:lasting", "ztproxy:proofs:since:65000"]
    assert 60_000 < client.pttl(keys[0]) <= 65_000
    assert client.get(keys[0]) == ""
    assert client.get(keys[1]) == "65000"
    assert abs(int(client.get(keys[2])) - time.time()) < 5


async def test_a_server_that_lost_its_data_takes_nothing_from_before(make, client):
    machine = make()
    made_at = time.time() - 1
    await machine.use(name(1), NOW, 0.0)
    client.flushall()
    assert await machine.use(name(1), made_at, 0.0) is Use.UNKNOWN
    assert await machine.use(name(2), NOW, 0.0) is Use.FIRST


async def test_one_that_remembered_less_long_is_not_gone_on_with(make):
    made_at = time.time() - 20
    await make(lasting=15.0).use(name(1), made_at, 0.0)
    assert await make(lasting=65.0).use(name(1), made_at, 0.0) is Use.UNKNOWN


async def test_machines_that_need_it_for_different_times_share_it_for_the_longest(make, client):
    """As while a change of the times goes through a fleet."""
    short, long = make(lasting=15.0), make(lasting=65.0)
    assert await short.use(name(1), NOW, 0.0) is Use.FIRST
    assert client.pttl(f"ztproxy:proofs:{name(1).hex()}") <= 15_000
    assert await long.use(name(1), NOW, 0.0) is Use.REPEATED
    assert await short.use(name(2), NOW, 0.0) is Use.FIRST
    assert client.pttl(f"ztproxy:proofs:{name(2).hex()}") > 60_000
    assert await long.use(name(2), NOW, 0.0) is Use.REPEATED


async def back(machine):
    async with asyncio.timeout(20):
        while not machine.up:
            await asyncio.sleep(0.01)


async def test_killed_it_lets_nobody_in_and_back_it_takes_nothing_from_before(make, server):
    said = []
    machine = make(report=said.append)
    moment = time.time()
    assert await machine.use(name(1), NOW, 0.0) is Use.FIRST
    server.kill()
    for _ in range(3):
        with pytest.raises(StoreAwayError):
            await machine.use(name(2), NOW, 0.0)
    await server.restart()
    await back(machine)
    assert await machine.use(name(1), moment, 0.0) is Use.UNKNOWN
    assert await machine.use(name(3), NOW, 0.0) is Use.FIRST
    assert [line.split("(")[0].strip() for line in said] == ["dpop.replay: redis is away", "dpop.replay: redis is back"]


async def test_what_took_the_place_of_one_that_was_away_takes_nothing_from_before(make, server, client):
    """A replica may lack what its master noted last, and yet have begun long ago."""
    machine = make()
    await machine.use(name(1), NOW, 0.0)
    server.kill()
    with pytest.raises(StoreAwayError):
        await machine.use(name(2), NOW, 0.0)
    await server.restart()
    client.set("ztproxy:proofs:since:65000", 1)
    await back(machine)
    assert await machine.use(name(1), time.time() - 1, 0.0) is Use.UNKNOWN


async def test_standing_still_it_lets_nobody_in(make, server):
    machine = make(timeout=0.1)
    await machine.use(name(1), NOW, 0.0)
    os.kill(server.process.pid, signal.SIGSTOP)
    with pytest.raises(StoreAwayError):
        await machine.use(name(2), NOW, 0.0)
    with pytest.raises(StoreAwayError, match="away"):
        await machine.use(name(2), NOW, 0.0)
    os.kill(server.process.pid, signal.SIGCONT)
    await back(machine)
    assert await machine.use(name(3), NOW, 0.0) is Use.FIRST


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_a_server_that_forgets_to_make_room_is_not_used(make, client, policy):
    client.config_set("maxmemory", 100_000_000)
    client.config_set("maxmemory-policy", policy)
    with pytest.raises(StoreAwayError, match="noeviction"):
        await make().use(name(1), NOW, 0.0)


async def test_a_full_server_lets_nobody_in(make, client):
    client.config_set("maxmemory", 1)
    client.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(StoreAwayError, match="OutOfMemory"):
        await make().use(name(1), NOW, 0.0)


async def test_an_answer_of_another_shape_lets_nobody_in(make, client):
    machine = make()
    client.lpush("ztproxy:proofs:since:65000", "x")
    with pytest.raises(StoreAwayError, match="WRONGTYPE"):
        await machine.use(name(1), NOW, 0.0)
    client.delete("ztproxy:proofs:since:65000")
    client.set("ztproxy:proofs:since:65000", "soon")
    with pytest.raises(StoreAwayError):
        await machine.use(name(2), NOW, 0.0)


async def test_a_password_is_used_and_demanded(make, server, client):
    client.config_set("requirepass", "secret")
    with pytest.raises(StoreAwayError):
        await make().use(name(1), NOW, 0.0)
    machine = RedisReplays(server.uri, password="secret", lasting=65.0, timeout=5.0)
    assert await machine.use(name(1), NOW, 0.0) is Use.FIRST
    await machine.close()


async def test_two_machines_refuse_each_other_s_proofs(server, tmp_path):
    async with World(tmp_path) as world:
        world.clock.wall = NOW
        issuer = await world.issuer()
        holder = Holder(now=lambda: world.clock.wall)
        token = issuer.tokens.token(cnf=holder.confirmation)
        dpop = {"replay": server.uri, "timeout": "5s"}
        machines = [await world.build(world.settings([world.trust(issuer)], dpop=dpop)) for _ in range(2)]
        proof = holder.proof(token)
        outcomes = [
            await world.ask(machine, b"DPoP " + token, unverified_proofs=(proof,)) for machine in (*machines, *machines)
        ]
        assert isinstance(outcomes[0], Identified)
        assert [outcome.reason.word for outcome in outcomes[1:]] == ["proof-replayed"] * 3
        server.kill()
        refusal = await world.ask(machines[1], b"DPoP " + token, unverified_proofs=(holder.proof(token),))
        assert (refusal.reason.word, refusal.status) == ("proof-store-unavailable", 503)
