"""Keys change: with overlap nobody notices, and in an emergency one is gone at the operator's word."""

import asyncio
import json
import threading

import pytest
from aiohttp import web

from tests.issuer_server import DISCOVERY, INTROSPECTION, KEYS, World
from tests.tokens import private_key, public_jwk
from ztproxy.identity.refreshing import Refreshed
from ztproxy.model import Identified, Reason, Right


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


async def reason(world, identity, bearer):
    outcome = await world.ask(identity, bearer)
    return None if isinstance(outcome, Identified) else outcome.reason


async def settled(identity):
    for one in identity._kept():
        while one._running is not None or one._saving is not None:
            await (one._running or one._saving)


def right(token):
    return Right(listener="127.0.0.1:8080", host="r.test", route="r", certificate=None, token=token)


async def still(world, identity, token):
    (found,) = await identity.rejudge([right(token)], world.clock.wall)
    return None if found is None else found.reason


async def test_a_rotation_with_overlap_refuses_nobody(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    old = issuer.tokens.bearer()
    old_key = issuer.tokens.jwk()
    assert await reason(world, identity, old) is None
    coming = public_jwk(private_key("ES256", "key-2"), kid="key-2", alg="ES256", use="sig")
    issuer.keys = [old_key, coming]  # published before it signs
    world.clock.advance(3600)
    fresh = issuer.tokens.bearer(jti="fresh")
    assert await reason(world, identity, fresh) is None
    await settled(identity)
    issuer.sign_with("ES256", "key-2")  # it signs
    asked = issuer.asked.count(KEYS)
    assert await reason(world, identity, issuer.tokens.bearer()) is None
    assert issuer.asked.count(KEYS) == asked  # nobody waited
    assert await reason(world, identity, fresh) is None  # as do those of the old one
    issuer.keys = [coming]  # withdrawn once its last token has expired
    world.clock.advance(3600)
    await reason(world, identity, issuer.tokens.bearer(jti="newer"))
    await settled(identity)
    assert await reason(world, identity, issuer.tokens.bearer(jti="newest")) is None


async def test_a_key_that_is_withdrawn_is_gone_at_the_operators_word_with_its_tokens(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    bearer = issuer.tokens.bearer()
    assert await reason(world, identity, bearer) is None
    issuer.sign_with("ES256", "key-2")
    assert await reason(world, identity, bearer) is None  # nobody has told us yet
    (found,) = await identity.refresh()
    assert found.issuer == issuer.url
    assert not found.failures
    assert [name.partition("#")[0] for name in found.removed] == ["key-1"]
    assert [name.partition("#")[0] for name in found.added] == ["key-2"]
    assert await reason(world, identity, bearer) is Reason.TOKEN_KEY_UNKNOWN
    assert await reason(world, identity, issuer.tokens.bearer()) is None


async def test_another_key_under_the_same_id_is_told_as_one_gone_and_one_new(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is None
    issuer.keys = [public_jwk(private_key("ES256", "another"), kid="key-1")]
    (found,) = await identity.refresh()
    assert len(found.removed) == len(found.added) == 1
    assert found.removed != found.added


async def test_a_fetch_under_way_is_not_enough_because_it_may_have_been_asked_too_early(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False, jwks_uri=issuer.url + KEYS)
    bearer = issuer.tokens.bearer()
    assert await reason(world, identity, bearer) is None
    held, answer = asyncio.Event(), issuer._handle
    before = [issuer.tokens.jwk()]

    async def late(request):
        await held.wait()
        issuer.keys = before
        del issuer.answers[KEYS]
        response = await answer(request)
        issuer.keys = []
        return response

    issuer.answers[KEYS] = late
    world.clock.advance(10)
    waiting = asyncio.ensure_future(reason(world, identity, issuer.tokens.bearer(header={"kid": "unknown"})))
    while issuer.asked.count(KEYS) < 2:
        await asyncio.sleep(0)
    refreshing = asyncio.ensure_future(identity.refresh())
    await asyncio.sleep(0)
    held.set()
    (found,) = await refreshing
    await waiting
    assert found.after == ()
    assert await reason(world, identity, bearer) is Reason.TOKEN_KEY_UNKNOWN


async def nothing(request):
    raise web.HTTPServiceUnavailable


@pytest.mark.parametrize("away", [True, False])
async def test_one_that_does_not_answer_is_told_and_what_was_known_stays(world, away):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    bearer = issuer.tokens.bearer()
    assert await reason(world, identity, bearer) is None
    if away:
        await issuer.stop()
    else:
        issuer.answers[KEYS] = nothing
    (found,) = await identity.refresh()
    assert found.before == found.after != ()
    assert "keys: " in found.failures[0]
    assert await reason(world, identity, bearer) is None


async def test_while_its_discovery_fails_the_keys_are_asked_for_where_they_were(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    bearer = issuer.tokens.bearer()
    assert await reason(world, identity, bearer) is None
    issuer.answers[DISCOVERY] = nothing
    issuer.sign_with("ES256", "key-2")
    (found,) = await identity.refresh()
    assert not found.failures
    assert await reason(world, identity, bearer) is Reason.TOKEN_KEY_UNKNOWN


async def test_one_is_asked_by_its_name_and_the_others_are_not(world):
    one, other = await world.issuer(), await world.issuer(kid="key-2")
    identity = await world.identity([one, other], started=False)
    (found,) = await identity.refresh(other.url)
    assert found.issuer == other.url
    assert one.asked == []
    assert len(await identity.refresh()) == 2


async def test_what_was_saved_does_not_bring_a_withdrawn_key_back(world):
    issuer = await world.issuer()
    first = await world.identity([issuer], started=False)
    saved, held = first.stores[0]._saved, threading.Event()
    save = saved.save

    def slow(what):
        held.wait(30)
        save(what)

    saved.save = slow
    bearer = issuer.tokens.bearer()
    assert await reason(world, first, bearer) is None
    issuer.sign_with("ES256", "key-2")
    await first.refresh()  # while the keys before are still being saved
    held.set()
    await settled(first)
    await first.close()
    await issuer.stop()
    (path,) = (world.folder / "var" / "keys").iterdir()
    assert [key["kid"] for key in json.loads(path.read_text())["keys"]] == ["key-2"]
    second = await world.identity([issuer])
    assert await reason(world, second, bearer) is Reason.TOKEN_KEY_UNKNOWN


async def test_what_was_retired_goes_by_the_answer_too(world):
    issuer = await world.issuer()
    retired = await world.identity([issuer], started=False)
    bearer = issuer.tokens.bearer()
    assert await reason(world, retired, bearer) is None
    serving = await world.identity([issuer], started=False)
    serving.take_over(retired)
    issuer.sign_with("ES256", "key-2")
    await serving.refresh()
    retired.follow(serving)
    assert await reason(world, retired, bearer) is Reason.TOKEN_KEY_UNKNOWN


async def test_what_an_issuer_said_of_opaque_tokens_is_asked_anew(world):
    issuer = await world.issuer()
    section = world.trust(issuer, introspection=world.introspection(issuer, cache="1h"))
    identity = await world.build(world.settings([section]), started=False)
    bearer, refused = issuer.issue(), b"Bearer unknown"
    assert await reason(world, identity, bearer) is None
    assert await reason(world, identity, refused) is Reason.TOKEN_INACTIVE
    size = identity._bearers._octets
    issuer.opaque["unknown"] = issuer.opaque.pop(bearer[7:].decode())
    await identity.refresh()
    assert identity._bearers._octets < size
    world.clock.advance(1)
    assert await reason(world, identity, bearer) is Reason.TOKEN_INACTIVE
    assert await reason(world, identity, refused) is None


async def test_a_question_under_way_is_not_remembered(world):
    issuer = await world.issuer()
    section = world.trust(issuer, introspection=world.introspection(issuer, cache="1h"))
    identity = await world.build(world.settings([section]), started=False)
    bearer, held, answered = issuer.issue(), asyncio.Event(), issuer._introspect

    async def late(request):
        answer = await answered(request)
        await held.wait()
        return answer

    issuer.answers[INTROSPECTION] = late
    waiting = asyncio.ensure_future(reason(world, identity, bearer))
    while not issuer.forms:
        await asyncio.sleep(0)
    world.clock.advance(1)
    await identity.refresh()
    held.set()
    assert await waiting is None
    issuer.opaque.clear()
    assert await reason(world, identity, bearer) is Reason.TOKEN_INACTIVE


async def test_a_stream_ends_with_the_key_that_its_token_rests_on(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    token = (await world.ask(identity, issuer.tokens.bearer())).token
    assert await still(world, identity, token) is None
    issuer.sign_with("ES256", "key-2")
    await identity.refresh()
    assert await still(world, identity, token) is Reason.TOKEN_KEY_UNKNOWN
    identity._bearers._remembered.clear()  # as after a reload: the key's id alone is known
    assert await still(world, identity, token) is Reason.TOKEN_KEY_UNKNOWN


async def test_a_stream_goes_on_while_keys_are_not_known_yet(world):
    issuer = await world.issuer()
    first = await world.identity([issuer], started=False)
    token = (await world.ask(first, issuer.tokens.bearer())).token
    second = await world.identity([issuer], started=False)
    assert await still(world, second, token) is None
    other = await world.issuer()
    third = await world.identity([other], started=False)
    assert await still(world, third, token) is Reason.TOKEN_ISSUER_UNKNOWN


async def test_a_stream_ends_when_its_issuer_says_so_and_not_because_it_cannot_be_asked(world):
    issuer = await world.issuer()
    section = world.trust(issuer, introspection=world.introspection(issuer, cache="60s"))
    identity = await world.build(world.settings([section]), started=False)
    token = (await world.ask(identity, issuer.issue())).token
    world.clock.advance(59)
    assert await still(world, identity, token) is None
    assert len(issuer.forms) == 1
    world.clock.advance(1)
    assert await still(world, identity, token) is None
    assert len(issuer.forms) == 2
    await issuer.stop()
    world.clock.advance(60)
    assert await still(world, identity, token) is None
    issuer.opaque.clear()
    await issuer.start()
    assert await still(world, identity, token) is Reason.TOKEN_INACTIVE
    assert await still(world, identity, token) is Reason.TOKEN_INACTIVE


def test_what_is_the_same_is_neither_gone_nor_new():
    made = Refreshed("https://a.test", ("a", "b"), ("b", "c"))
    assert (made.removed, made.added) == (("a",), ("c",))
