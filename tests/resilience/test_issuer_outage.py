"""An issuer is away for ten minutes while its people work, by a set clock: nobody notices who was known before.

What each request may rest on meanwhile: keys for `max_stale`, its own expiry, and nothing that has to be asked.
"""

import asyncio
from collections import Counter

import pytest

from tests.issuer_server import World
from ztproxy.identity.metadata import Metadata
from ztproxy.model import Identified, Reason

pytestmark = pytest.mark.slow

PEOPLE = 50
AWAY = 600
"""Seconds."""
STEP = 5
"""Seconds of the set clock between two rounds of requests."""


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


async def asked(world, identity, bearers):
    """What all of them get who ask at once."""
    outcomes = await asyncio.gather(*(world.ask(identity, bearer) for bearer in bearers))
    return Counter("ok" if isinstance(one, Identified) else one.reason.word for one in outcomes)


async def settled(identity):
    for one in identity._kept():
        while one._running is not None or one._saving is not None:
            await (one._running or one._saving)


async def ten_minutes(world, identity, bearers):
    """All of them ask, every few seconds, and so does the background."""
    total = Counter()
    for _ in range(AWAY // STEP):
        world.clock.advance(STEP)
        total += await asked(world, identity, bearers)
        for store in identity.stores:
            store._begin_if_due(world.clock.monotonic)
        await settled(identity)
    return total


@pytest.mark.parametrize("restarted", [False, True])
async def test_nobody_who_is_known_notices(world, restarted):
    issuer = await world.issuer()
    issuer.headers = {"Cache-Control": "max-age=0"}  # asked for again after five minutes
    identity = await world.identity([issuer])
    bearers = [issuer.tokens.bearer(sub=f"person-{number}") for number in range(PEOPLE)]
    assert await asked(world, identity, bearers) == {"ok": PEOPLE}
    await settled(identity)
    await issuer.stop()
    if restarted:
        await identity.close()
        identity = await world.identity([issuer])
    total = await ten_minutes(world, identity, bearers)
    assert total == {"ok": PEOPLE * AWAY // STEP}
    await settled(identity)
    (store,) = identity.stores
    assert 0 < store.failures < AWAY / 5  # it is asked ever more rarely
    # Nor do those who come with a new token under a known key, and what logins need to know is still known.
    fresh = [issuer.tokens.bearer(sub=f"newcomer-{number}") for number in range(PEOPLE)]
    assert await asked(world, identity, fresh) == {"ok": PEOPLE}
    metadata = await identity.metadata[issuer.url].get(world.clock.wall, world.clock.monotonic)
    assert isinstance(metadata, Metadata)
    # What cannot be known says so: a key that nobody has seen.
    assert await asked(world, identity, [issuer.tokens.bearer(header={"kid": "new"})]) == {"token-key-unknown": 1}
    await issuer.start()
    issuer.sign_with("ES256", "key-2")
    world.clock.advance(60)
    assert await asked(world, identity, [issuer.tokens.bearer()]) == {"ok": 1}


async def test_reloads_meanwhile_are_not_noticed_either(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    bearers = [issuer.tokens.bearer(sub=f"person-{number}") for number in range(PEOPLE)]
    assert await asked(world, identity, bearers) == {"ok": PEOPLE}
    await settled(identity)
    await issuer.stop()
    for _ in range(10):
        world.clock.advance(AWAY / 10)
        before, identity = identity, await world.identity([issuer], started=False)
        identity.take_over(before)
        await identity.start()
        assert await asked(world, identity, bearers) == {"ok": PEOPLE}
        await before.close()


async def test_one_that_is_new_to_us_says_that_it_is_away(world):
    issuer = await world.issuer()
    bearers = [issuer.tokens.bearer(sub=f"person-{number}") for number in range(PEOPLE)]
    await issuer.stop()
    identity = await world.identity([issuer])
    assert await asked(world, identity, bearers) == {"issuer-keys-unavailable": PEOPLE}
    refusal = await identity.metadata[issuer.url].get(world.clock.wall, world.clock.monotonic)
    assert refusal.reason is Reason.ISSUER_UNAVAILABLE


async def test_opaque_tokens_count_for_as_long_as_their_issuers_word(world):
    issuer = await world.issuer()
    section = world.trust(issuer, introspection=world.introspection(issuer, cache="10m"))
    identity = await world.build(world.settings([section]))
    bearers = [issuer.issue(sub=f"person-{number}") for number in range(PEOPLE)]
    assert await asked(world, identity, bearers) == {"ok": PEOPLE}
    await issuer.stop()
    world.clock.advance(AWAY - STEP)
    assert await asked(world, identity, bearers) == {"ok": PEOPLE}
    world.clock.advance(STEP)
    assert await asked(world, identity, bearers) == {"introspection-unavailable": PEOPLE}
