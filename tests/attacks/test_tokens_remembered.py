"""A token that was verified once counts no longer than its time, its key and its issuer's place on the route."""

import json

import pytest

from tests.issuer_server import World
from tests.tokens import private_key, public_jwk
from ztproxy.identity.issuers.kept import SHORTEST
from ztproxy.identity.tokens.bearers import Bearers
from ztproxy.model import Identified, Reason


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


async def settled(identity):
    """Wait for what is being fetched and saved."""
    for store in identity._stores:
        while store._running is not None or store._saving is not None:
            await (store._running or store._saving)


async def reason(world, identity, bearer, **options):
    outcome = await world.ask(identity, bearer, **options)
    return None if isinstance(outcome, Identified) else outcome.reason


async def test_it_ends_with_its_time(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    bearer = issuer.tokens.bearer()
    assert await reason(world, identity, bearer) is None
    world.clock.advance(3629)
    assert await reason(world, identity, bearer) is None
    world.clock.advance(1)
    assert await reason(world, identity, bearer) is Reason.TOKEN_EXPIRED


async def test_it_ends_with_its_key(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    bearer = issuer.tokens.bearer()
    assert await reason(world, identity, bearer) is None
    issuer.sign_with("ES256", "key-2")
    world.clock.advance(6)
    assert await reason(world, identity, issuer.tokens.bearer()) is None  # makes it fetch
    assert await reason(world, identity, bearer) is Reason.TOKEN_KEY_UNKNOWN


@pytest.mark.parametrize("change", ["other key", "other use", "other algorithm"])
async def test_it_ends_when_its_key_becomes_another_under_the_same_id(world, change):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    bearer = issuer.tokens.bearer()
    assert await reason(world, identity, bearer) is None
    issuer.keys = {
        "other key": [public_jwk(private_key("ES256", "another"), kid="key-1")],
        "other use": [issuer.tokens.jwk(use="enc")],
        "other algorithm": [issuer.tokens.jwk(alg="ES384")],
    }[change]
    world.clock.advance(6)
    await reason(world, identity, issuer.tokens.bearer(header={"kid": "unknown"}))  # makes it fetch
    assert await reason(world, identity, bearer) is not None


async def test_it_ends_when_the_issuer_is_away_for_too_long(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False, max_stale="10m")
    bearer = issuer.tokens.bearer()
    assert await reason(world, identity, bearer) is None
    await issuer.stop()
    world.clock.advance(599)
    assert await reason(world, identity, bearer) is None
    world.clock.advance(1)
    assert await reason(world, identity, bearer) is Reason.ISSUER_KEYS_UNAVAILABLE


async def test_the_same_subject_at_two_issuers_is_two(world):
    one, other = await world.issuer(), await world.issuer(kid="key-2")
    identity = await world.identity([one, other])
    tokens = [(await world.ask(identity, issuer.tokens.bearer())).token for issuer in (one, other)]
    assert [token.subject for token in tokens] == ["alice", "alice"]
    assert [token.issuer for token in tokens] == [one.url, other.url]


async def test_only_so_many_are_remembered_and_the_oldest_go(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    bearers = identity._bearers = Bearers(identity._bearers._issuers, maximum=3)
    for number in range(5):
        await world.ask(identity, issuer.tokens.bearer(jti=str(number)))
    assert [entry.token.claims["jti"] for entry in bearers._remembered.values()] == ["2", "3", "4"]


async def test_only_so_many_octets_are_remembered(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    size = len(issuer.tokens.token(jti="0"))
    bearers = identity._bearers = Bearers(identity._bearers._issuers, maximum_octets=3 * size)
    for number in range(5):
        await world.ask(identity, issuer.tokens.bearer(jti=str(number)))
    assert [entry.token.claims["jti"] for entry in bearers._remembered.values()] == ["2", "3", "4"]
    assert bearers._octets == sum(entry.size for entry in bearers._remembered.values())
    world.clock.advance(3700)
    for entry in tuple(bearers._remembered.values()):
        bearers.recall(entry.token.digest, frozenset([issuer.url]), world.clock.wall)
    assert bearers._octets == 0


async def test_what_was_refused_is_not_remembered(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    await world.ask(identity, issuer.tokens.bearer(aud="other"))
    await world.ask(identity, issuer.tokens.bearer(nbf=world.clock.wall + 60))
    assert not identity._bearers._remembered


async def test_keys_survive_a_restart_while_the_issuer_is_away(world):
    issuer = await world.issuer()
    first = await world.identity([issuer])
    bearer = issuer.tokens.bearer(exp=world.clock.wall + 1_000_000)
    assert await reason(world, first, bearer) is None
    await settled(first)
    await first.close()
    await issuer.stop()
    world.clock.advance(86399)
    second = await world.identity([issuer])
    assert await reason(world, second, bearer) is None
    await second.close()
    world.clock.advance(1)
    third = await world.identity([issuer])
    assert await reason(world, third, bearer) is Reason.ISSUER_KEYS_UNAVAILABLE


@pytest.mark.parametrize("change", ["mode", "issuer", "future", "content", "link", "size", "folder"])
async def test_saved_keys_that_may_be_forged_are_not_used(world, change):
    issuer = await world.issuer()
    first = await world.identity([issuer])
    bearer = issuer.tokens.bearer()
    assert await reason(world, first, bearer) is None
    await settled(first)
    await first.close()
    await issuer.stop()
    (path,) = (world.folder / "var" / "keys").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    saved = json.loads(path.read_text())
    match change:
        case "mode":
            path.chmod(0o666)
        case "issuer":
            path.write_text(json.dumps(saved | {"issuer": "https://other.test"}))
        case "future":
            path.write_text(json.dumps(saved | {"fetched_at": world.clock.wall + 1}))
        case "content":
            path.write_text("{")
        case "link":
            path.rename(world.folder / "elsewhere")
            path.symlink_to(world.folder / "elsewhere")
        case "size":
            path.write_text(json.dumps(saved | {"filler": "x" * 300_000}))
        case "folder":
            path.unlink()
            path.mkdir()
    second = await world.identity([issuer])
    assert await reason(world, second, bearer) is Reason.ISSUER_KEYS_UNAVAILABLE


async def test_a_private_key_that_an_issuer_published_is_not_saved(world):
    issuer = await world.issuer()
    issuer.keys = [issuer.tokens.jwk(), issuer.tokens.jwk(kid="leaked", d="c2VjcmV0")]
    identity = await world.identity([issuer])
    assert await reason(world, identity, issuer.tokens.bearer()) is None
    await settled(identity)
    (path,) = (world.folder / "var" / "keys").iterdir()
    assert "c2VjcmV0" not in path.read_text()


async def test_a_withdrawn_key_is_noticed_in_time_without_anybody_asking_for_another(world):
    issuer = await world.issuer()
    issuer.headers = {"Cache-Control": "max-age=0"}
    identity = await world.identity([issuer], started=False)
    bearer = issuer.tokens.bearer()
    assert await reason(world, identity, bearer) is None
    issuer.keys = []
    world.clock.advance(SHORTEST)
    await reason(world, identity, issuer.tokens.bearer(jti="new"))
    await settled(identity)
    assert await reason(world, identity, bearer) is Reason.TOKEN_KEY_UNKNOWN
