"""Refresh tokens against a token endpoint over TLS: used once, in time, by one process, and what an outage does."""

import asyncio

import pytest

from tests.sessions import NAME, SessionWorld
from ztproxy.identity.sessions import cookie, upkeep
from ztproxy.identity.sessions.renewal import RETRY
from ztproxy.model import Identified, Reason, Right


@pytest.fixture
async def world(tmp_path):
    async with SessionWorld(tmp_path) as world:
        yield world


async def started(world, lifetime=300.0, **sessions):
    identity = await world.start(sessions=sessions)
    endpoint = world.endpoint(identity, lifetime)
    return identity, endpoint, await world.begin(world.refreshable(endpoint))


async def test_before_claims_expire_they_are_refreshed_beside_the_request(world):
    identity, endpoint, value = await started(world)
    world.clock.advance(239)
    await world.present(identity, value)
    assert endpoint.used == []
    endpoint.claims = {"sub": "alice", "groups": ["admin"]}
    endpoint.hold = asyncio.Event()
    world.clock.advance(1)
    identified = await world.present(identity, value)
    assert identified.token.claims["groups"] == ["staff"], "nobody waits for it"
    endpoint.hold.set()
    await identity.sessions.upkeep.settled()
    refreshed = await world.present(identity, value)
    assert refreshed.token.claims == {"sub": "alice", "groups": ["admin"]}
    assert refreshed.token.digest != identified.token.digest
    assert refreshed.token.session == identified.token.session
    assert endpoint.used == ["refresh-0"]


async def test_once_claims_have_expired_the_request_waits_for_new_ones(world):
    identity, endpoint, value = await started(world)
    endpoint.claims = {"sub": "alice", "groups": []}
    world.clock.advance(300)
    assert (await world.present(identity, value)).token.claims["groups"] == []


async def test_a_refresh_token_is_used_once_however_many_ask(world):
    identity, endpoint, value = await started(world)
    for number in range(3):
        world.clock.advance(300)
        answers = await asyncio.gather(*(world.present(identity, value) for _ in range(20)))
        assert all(isinstance(answer, Identified) for answer in answers)
        await identity.sessions.upkeep.settled()
        assert len(endpoint.used) == number + 1
    assert endpoint.used == ["refresh-0", "refresh-1", "refresh-2"]
    assert identity.sessions.upkeep.counted == {"done": 3}


@pytest.mark.parametrize("expired", [False, True])
async def test_several_processes_refresh_a_session_once(world, expired):
    storage = {"storage": f"sqlite:{world.folder}/var/sessions.db"}
    identity, endpoint, value = await started(world, **storage)
    others = [await world.start(sessions=storage) for _ in range(2)]
    for other in others:
        other.sessions.upkeep.refresh_by(endpoint)
    endpoint.claims = {"sub": "alice", "groups": ["new"]}
    world.clock.advance(300 if expired else 250)
    answers = await asyncio.gather(*(world.present(one, value) for one in (identity, *others) for _ in range(5)))
    assert all(isinstance(answer, Identified) for answer in answers)
    for one in (identity, *others):
        await one.sessions.upkeep.settled()
        assert (await world.present(one, value)).token.claims["groups"] == ["new"]
    assert endpoint.used == ["refresh-0"]


async def test_a_session_that_the_issuer_does_not_let_go_on_ends(world):
    identity, endpoint, value = await started(world)
    endpoint.counting.clear()
    world.clock.advance(300)
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED
    assert await identity.sessions.find(world.routed(own_cookies=((NAME, value),)).arrived, None) is None
    assert identity.sessions.ended == {"refused": 1}
    assert identity.sessions.upkeep.last_failure == "invalid_grant"


async def test_one_that_ends_meanwhile_is_not_brought_back(world):
    identity, endpoint, value = await started(world)
    endpoint.hold = asyncio.Event()
    world.clock.advance(250)
    await world.present(identity, value)
    await endpoint.asked.wait()
    await identity.sessions.end(cookie.value_of(((NAME, value),)), world.clock.wall)
    endpoint.hold.set()
    await identity.sessions.upkeep.settled()
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED
    assert await identity.sessions.records.count(b"s", world.clock.wall) == 0


async def test_use_that_is_written_meanwhile_does_not_lose_the_new_token(world):
    identity, endpoint, value = await started(world)
    endpoint.hold = asyncio.Event()
    world.clock.advance(250)
    await world.present(identity, value)
    await endpoint.asked.wait()
    key = identity.sessions.sealed.keys(cookie.value_of(((NAME, value),)))[0]
    record, session = await identity.sessions.sealed.get(key, world.clock.wall)
    assert await identity.sessions.sealed.change(key, record.version, session, world.clock.wall)
    endpoint.hold.set()
    await identity.sessions.upkeep.settled()
    _, session = await identity.sessions.sealed.get(key, world.clock.wall)
    assert session.refresh_token == "refresh-1"


async def test_while_the_issuer_is_away_the_session_goes_on_for_a_time(world):
    identity, endpoint, value = await started(world, outage="10m")
    await world.op.stop()
    world.clock.advance(300)
    for _ in range(599):
        assert isinstance(await world.present(identity, value), Identified)
        world.clock.advance(1)
    world.clock.advance(1)
    refusal = await world.present(identity, value)
    assert (refusal.reason, refusal.status) == (Reason.SESSION_NOT_RENEWED, 503)
    assert "ClientConnector" in refusal.cause
    assert endpoint.used == []
    await world.op.start()
    world.clock.advance(RETRY)
    await world.present(identity, value)
    await identity.sessions.upkeep.settled()
    world.clock.advance(1)
    assert isinstance(await world.present(identity, value), Identified), "and it goes on when the issuer is back"


async def test_an_issuer_that_is_away_is_asked_now_and_then(world):
    identity, endpoint, _ = await started(world)
    values = [await world.begin(world.refreshable(endpoint)) for _ in range(5)]
    await world.op.stop()
    asked = []
    refresh = endpoint.refresh

    async def counting(session, now):
        asked.append(now)
        return await refresh(session, now)

    endpoint.refresh = counting
    world.clock.advance(300)
    for value in values:
        await world.present(identity, value)
    assert len(asked) == 1, "one found it away, and the others do not try"
    for _ in range(30):
        world.clock.advance(1)
        for value in values:
            await world.present(identity, value)
        await identity.sessions.upkeep.settled()
    assert 3 <= len(asked) <= 5


@pytest.mark.interpreted
async def test_nobody_waits_long_for_an_issuer_that_hangs(world, monkeypatch):
    monkeypatch.setattr(upkeep, "PATIENCE", 0.01)
    identity, endpoint, value = await started(world)
    endpoint.hold = asyncio.Event()
    world.clock.advance(300)
    assert isinstance(await world.present(identity, value), Identified)
    world.clock.advance(1)
    monkeypatch.setattr(upkeep, "PATIENCE", 1000.0)
    assert isinstance(await world.present(identity, value), Identified), "one has waited, so the next ones do not"
    endpoint.hold.set()
    await identity.sessions.upkeep.settled()
    assert (await world.present(identity, value)).token.issued_at == world.clock.wall - 1


async def test_an_issuer_whose_tokens_end_at_once_is_not_asked_each_time(world):
    identity, endpoint, value = await started(world, lifetime=0.0)
    for _ in range(20):
        world.clock.advance(1)
        assert isinstance(await world.present(identity, value), Identified)
        await identity.sessions.upkeep.settled()
    assert len(endpoint.used) <= 5


async def test_a_session_without_refresh_token_keeps_its_claims(world):
    identity = await world.start()
    world.endpoint(identity)
    value = await world.begin(world.login(refresh_at=world.clock.wall, token_expires_at=world.clock.wall))
    world.clock.advance(3000)
    assert isinstance(await world.present(identity, value), Identified)


async def test_our_own_pages_do_not_wait_for_new_claims(world):
    identity, endpoint, value = await started(world)
    world.clock.advance(3000)
    found = await identity.sessions.find(world.routed(own_cookies=((NAME, value),)).arrived, None)
    assert found.session.id_token == "id.token.here"
    assert endpoint.used == []


async def test_claims_that_grow_beyond_what_can_be_kept_end_the_session(world):
    identity, endpoint, value = await started(world)
    endpoint.claims = {"sub": "alice", "groups": ["x" * 100] * 700}
    world.clock.advance(300)
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED
    assert "65536 octets" in identity.sessions.upkeep.last_failure


async def test_the_new_refresh_token_is_kept_sealed(world):
    identity, _, value = await started(world)
    world.clock.advance(300)
    await world.present(identity, value)
    kept = identity.sessions.records._held.records._kept
    assert len(kept) == 1, "the lease is gone"
    assert not any(b"refresh" in one.record.value for one in kept.values())


# -- open streams


def right(identified):
    return Right("127.0.0.1:8080", "r.test", "r", None, identified.token)


@pytest.mark.parametrize(("groups", "ends"), [(["staff"], False), (["guest"], True)])
async def test_a_stream_ends_when_the_issuer_says_something_else_of_the_person(world, groups, ends):
    identity, endpoint, value = await started(world)
    rights = [right(await world.present(identity, value))]
    endpoint.claims = {"sub": "alice", "groups": groups, "iat": 1, "auth_time": 2}
    world.clock.advance(300)
    await identity.rejudge(rights, world.clock.wall)
    await identity.sessions.upkeep.settled()
    (refusal,) = await identity.rejudge(rights, world.clock.wall)
    assert (refusal.reason if refusal else None) == (Reason.SESSION_CHANGED if ends else None)


async def test_a_stream_ends_when_its_claims_cannot_be_renewed_for_too_long(world):
    identity, endpoint, value = await started(world, outage="10m")
    rights = [right(await world.present(identity, value))]
    endpoint.hold = asyncio.Event()
    world.clock.advance(899)
    assert await identity.rejudge(rights, world.clock.wall) == [None]
    world.clock.advance(1)
    (refusal,) = await identity.rejudge(rights, world.clock.wall)
    assert refusal.reason is Reason.SESSION_NOT_RENEWED
    endpoint.hold.set()
