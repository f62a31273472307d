"""The issuer is gone for ten minutes, and nobody who is logged in notices: the clock is set, the issuer is really gone.

Everybody asks all the time: people by sessions, whose claims have to be refreshed meanwhile, programs by tokens. Half
way the program is started anew, from what it left on disk.
"""

import asyncio

import pytest

from tests.sessions import SessionWorld, cookie_of
from ztproxy.model import Identified, Reason

MINUTES = 10
PEOPLE = 8

pytestmark = pytest.mark.slow


@pytest.fixture
async def world(tmp_path):
    async with SessionWorld(tmp_path) as world:
        yield world


async def logged_in(world, identity, endpoint, number):
    claims = {"sub": f"person-{number}", "groups": ["staff"]}
    session = world.refreshable(
        endpoint, subject=f"person-{number}", claims=claims, op_session=f"op-{number}", refresh_token=f"r-{number}"
    )
    return cookie_of(await identity.sessions.begin(session, None, world.clock.wall))


async def test_no_request_fails_while_the_issuer_is_away(world):
    storage = {"storage": f"sqlite:{world.folder / 'sessions.db'}"}
    identity = await world.start(sessions=storage)
    endpoint = world.endpoint(identity)  # claims have to be refreshed after 240 s, and count for 300
    cookies = [await logged_in(world, identity, endpoint, number) for number in range(PEOPLE)]
    tokens = [world.op.tokens.bearer(sub=f"program-{number}", exp=world.clock.wall + 3600) for number in range(PEOPLE)]

    async def everybody(identity):
        asked = [world.present(identity, cookie) for cookie in cookies]
        asked += [world.ask(identity, token) for token in tokens]
        return await asyncio.gather(*asked)

    assert all(isinstance(answer, Identified) for answer in await everybody(identity))
    await world.op.stop()
    answered = 0
    for second in range(MINUTES * 60):
        world.clock.advance(1)
        if second == MINUTES * 30:
            await identity.close()
            identity = await world.start(sessions=storage)
            world.endpoint(identity)
        answers = await everybody(identity)
        assert [answer for answer in answers if not isinstance(answer, Identified)] == [], f"after {second} s"
        answered += len(answers)
    assert answered == MINUTES * 60 * 2 * PEOPLE


async def test_what_an_outage_may_not_outlive(world):
    identity = await world.start(sessions={"outage": "10m"})
    endpoint = world.endpoint(identity)
    cookie = await logged_in(world, identity, endpoint, 1)
    await world.op.stop()
    world.clock.advance(300 + 599)
    assert isinstance(await world.present(identity, cookie), Identified)
    await identity.sessions.upkeep.settled()
    world.clock.advance(2)
    refusal = await world.present(identity, cookie)
    assert refusal.reason is Reason.SESSION_NOT_RENEWED
