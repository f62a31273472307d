"""What an issuer says about itself, over real TLS: known without waiting, kept while it is away, over a restart too."""

import asyncio
import json

import pytest
from aiohttp import web

from tests.issuer_server import DISCOVERY, KEYS, World
from ztproxy.identity.issuers import kept
from ztproxy.identity.issuers.metadata import Metadata
from ztproxy.model import Identified, Reason, Refusal


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


async def get(world, identity, issuer):
    return await identity.metadata[issuer.url].get(world.clock.wall, world.clock.monotonic)


async def settled(identity):
    for one in identity._kept():
        while one._running is not None or one._saving is not None:
            await (one._running or one._saving)


def says(document):
    async def answer(request):
        return web.json_response(document)

    return answer


async def test_it_comes_with_the_keys_and_nobody_waits_for_it(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    metadata = identity.metadata[issuer.url]
    assert metadata.current(world.clock.wall) is None
    await settled(identity)
    assert metadata.current(world.clock.wall) == Metadata(issuer=issuer.url, jwks_uri=issuer.url + KEYS)
    assert issuer.asked == [DISCOVERY, KEYS]
    with pytest.raises(StopIteration) as ended:
        metadata.get(world.clock.wall, world.clock.monotonic).send(None)
    assert isinstance(ended.value.value, Metadata)


async def test_it_is_fetched_when_somebody_wants_it_where_the_keys_are_elsewhere(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], jwks_uri=issuer.url + KEYS)
    await settled(identity)
    assert issuer.asked == [KEYS]
    assert isinstance(await get(world, identity, issuer), Metadata)
    assert issuer.asked == [KEYS, DISCOVERY]
    await settled(identity)


async def test_many_who_want_it_at_once_are_one_fetch(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    answers = await asyncio.gather(*(get(world, identity, issuer) for _ in range(50)))
    assert all(isinstance(one, Metadata) for one in answers)
    assert issuer.asked == [DISCOVERY]


async def test_one_that_was_never_reached_says_that_no_logins_can_be(world):
    issuer = await world.issuer()
    await issuer.stop()
    identity = await world.identity([issuer], started=False)
    refusal = await get(world, identity, issuer)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.status) == (Reason.ISSUER_UNAVAILABLE, 503)
    assert dict(refusal.fields)[b"retry-after"] == b"5"
    assert issuer.url in refusal.cause
    await issuer.start()
    assert isinstance(await get(world, identity, issuer), Refusal)  # asked a moment ago
    world.clock.advance(5)
    assert isinstance(await get(world, identity, issuer), Metadata)


async def test_it_is_kept_while_the_issuer_is_away_for_so_long_and_no_longer(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False, max_stale="10m")
    assert isinstance(await get(world, identity, issuer), Metadata)
    await issuer.stop()
    world.clock.advance(599)
    assert isinstance(await get(world, identity, issuer), Metadata)
    await settled(identity)
    world.clock.advance(1)
    assert (await get(world, identity, issuer)).reason is Reason.ISSUER_UNAVAILABLE


async def test_it_outlives_a_restart(world):
    issuer = await world.issuer()
    first = await world.identity([issuer])
    known = await get(world, first, issuer)
    await settled(first)
    await first.close()
    await issuer.stop()
    (path,) = (world.folder / "var" / "metadata").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    world.clock.advance(86399)
    second = await world.identity([issuer])
    assert await get(world, second, issuer) == known
    await second.close()
    world.clock.advance(1)
    third = await world.identity([issuer])
    assert isinstance(await get(world, third, issuer), Refusal)


@pytest.mark.parametrize("change", ["mode", "issuer", "endpoint", "future"])
async def test_a_file_that_may_be_forged_is_not_used(world, change):
    issuer = await world.issuer()
    first = await world.identity([issuer])
    await settled(first)
    await first.close()
    await issuer.stop()
    (path,) = (world.folder / "var" / "metadata").iterdir()
    saved = json.loads(path.read_text())
    match change:
        case "mode":
            path.chmod(0o666)
        case "issuer":
            path.write_text(json.dumps(saved | {"issuer": "https://other.test"}))
        case "endpoint":
            path.write_text(json.dumps(saved | {"token_endpoint": "http://other.test"}))
        case "future":
            path.write_text(json.dumps(saved | {"fetched_at": world.clock.wall + 1}))
    second = await world.identity([issuer])
    assert isinstance(await get(world, second, issuer), Refusal)


async def test_a_reload_goes_on_with_it_and_one_of_another_trust_does_not(world):
    issuer = await world.issuer()
    first = await world.identity([issuer], started=False, jwks_uri=issuer.url + KEYS)
    known = await get(world, first, issuer)
    await issuer.stop()
    second = await world.identity([issuer], started=False, jwks_uri=issuer.url + KEYS)
    second.take_over(first)
    assert second.metadata[issuer.url].current(world.clock.wall) is known
    other = await world.identity([issuer], started=False, authorities=[])
    other.take_over(first)
    assert other.metadata[issuer.url].current(world.clock.wall) is None


@pytest.mark.parametrize(
    "change", [{"issuer": "https://evil.test"}, {"token_endpoint": "http://localhost/token"}, {"jwks_uri": 7}]
)
async def test_one_that_turns_bad_leaves_the_last_good_one(world, change):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert isinstance(await world.ask(identity, issuer.tokens.bearer()), Identified)
    known = await get(world, identity, issuer)
    issuer.answers[DISCOVERY] = says(issuer.metadata() | change)
    world.clock.advance(3600)
    assert await get(world, identity, issuer) is known
    await settled(identity)
    assert identity.metadata[issuer.url].failures == 1
    assert await get(world, identity, issuer) is known
    assert isinstance(await world.ask(identity, issuer.tokens.bearer(jti="2")), Identified)


async def test_keys_are_still_fetched_while_discovery_fails(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert isinstance(await world.ask(identity, issuer.tokens.bearer()), Identified)
    issuer.answers[DISCOVERY] = says({})
    issuer.sign_with("ES256", "key-2")
    world.clock.advance(10)
    assert isinstance(await world.ask(identity, issuer.tokens.bearer()), Identified)


@pytest.mark.slow
async def test_keys_are_still_fetched_while_discovery_hangs(world, monkeypatch):
    monkeypatch.setattr(kept, "FETCH_TIME", 1.0)
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert isinstance(await world.ask(identity, issuer.tokens.bearer()), Identified)
    issuer.answers[DISCOVERY] = issuer.hang
    issuer.sign_with("ES256", "key-2")
    world.clock.advance(10)
    monkeypatch.setattr("ztproxy.identity.issuers.discovery.FETCH_TIME", 0.5)
    assert isinstance(await world.ask(identity, issuer.tokens.bearer()), Identified)
    issuer.hold.set()
    await settled(identity)


async def test_keys_that_moved_are_found_at_once(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert isinstance(await world.ask(identity, issuer.tokens.bearer()), Identified)
    issuer.sign_with("ES256", "key-2")
    issuer.answers[DISCOVERY] = says(issuer.metadata() | {"jwks_uri": issuer.url + "/moved"})
    issuer.answers["/moved"] = says(issuer.tokens.jwks())
    issuer.answers[KEYS] = says({"keys": []})
    world.clock.advance(5)
    assert isinstance(await world.ask(identity, issuer.tokens.bearer()), Identified)
