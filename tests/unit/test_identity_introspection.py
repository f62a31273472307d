"""Tokens that say nothing by themselves: their issuer is asked, by a real client over real TLS."""

import asyncio

import pytest

from tests.issuer_server import DISCOVERY, INTROSPECTION, KEYS, World
from tests.tokens import ABSENT, private_key, public_jwk
from ztproxy.identity import IdentityConfigError
from ztproxy.model import Identified, Reason


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


async def asking(world, issuer, *, started=False, trust=None, **options):
    """An identity whose one issuer is asked about tokens."""
    section = world.trust(issuer, introspection=world.introspection(issuer, **options), **(trust or {}))
    return await world.build(world.settings([section]), started=started)


async def reason(world, identity, bearer, **options):
    outcome = await world.ask(identity, bearer, **options)
    return None if isinstance(outcome, Identified) else outcome.reason


async def test_its_issuer_says_who_asks(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer)
    bearer = issuer.issue(sub="bob", scope="read", aud=["x", "ztproxy"])
    identified = await world.ask(identity, bearer)
    assert isinstance(identified, Identified)
    token = identified.token
    assert (token.issuer, token.subject, token.audience, token.kind) == (issuer.url, "bob", ("x", "ztproxy"), "opaque")
    assert token.expires_at == world.clock.wall + 3600
    assert (token.key_id, token.bound_to) == (None, None)
    assert token.claims["scope"] == "read"
    assert "active" not in token.claims
    (form,) = issuer.forms
    assert form["token"].encode() == bearer.removeprefix(b"Bearer ")
    assert form["token_type_hint"] == "access_token"


async def test_its_word_is_remembered_for_so_long_and_no_longer(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer, cache="60s")
    bearer = issuer.issue()
    assert await reason(world, identity, bearer) is None
    with pytest.raises(StopIteration):
        identity.identify(world.routed(bearer)).send(None)
    issuer.opaque.clear()
    world.clock.advance(59)
    assert await reason(world, identity, bearer) is None
    assert len(issuer.forms) == 1
    world.clock.advance(1)
    assert await reason(world, identity, bearer) is Reason.TOKEN_INACTIVE
    assert len(issuer.forms) == 2


async def test_its_word_counts_from_when_it_was_asked_for(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer, cache="60s")
    bearer, answered = issuer.issue(), issuer._introspect

    async def slow(request):
        answer = await answered(request)
        world.clock.advance(59)
        return answer

    issuer.answers[INTROSPECTION] = slow
    assert await reason(world, identity, bearer) is None
    world.clock.advance(1)
    issuer.opaque.clear()
    issuer.answers.clear()
    assert await reason(world, identity, bearer) is Reason.TOKEN_INACTIVE


async def test_no_longer_than_the_token_lives(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer, cache="1h", trust={"leeway": "1s"})
    bearer = issuer.issue(exp=world.clock.wall + 10)
    assert await reason(world, identity, bearer) is None
    world.clock.advance(11)
    assert await reason(world, identity, bearer) is Reason.TOKEN_EXPIRED  # whatever its issuer says


async def test_a_token_without_an_end_counts_for_as_long_as_its_issuers_word(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer, cache="60s")
    bearer = issuer.issue(exp=ABSENT)
    identified = await world.ask(identity, bearer)
    assert identified.token.expires_at == world.clock.wall + 60
    assert "exp" not in identified.token.claims
    world.clock.advance(60)
    assert await reason(world, identity, bearer) is None
    assert len(issuer.forms) == 2


async def test_a_token_of_a_client_is_refused_unless_clients_are_subjects(world):
    issuer = await world.issuer()
    bearer = issuer.issue(sub=ABSENT, client_id="billing")
    assert await reason(world, await asking(world, issuer), bearer) is Reason.TOKEN_MALFORMED
    identified = await world.ask(await asking(world, issuer, client_as_subject=True), bearer)
    assert identified.token.subject == "billing"
    assert "sub" not in identified.token.claims


async def test_many_requests_with_one_token_are_one_question(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer)
    bearer = issuer.issue()
    answers = await asyncio.gather(*(reason(world, identity, bearer) for _ in range(50)))
    assert set(answers) == {None}
    assert len(issuer.forms) == 1


async def test_one_who_gives_up_leaves_the_question_to_the_others(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer)
    bearer = issuer.issue()
    waiting = [asyncio.ensure_future(reason(world, identity, bearer)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.pop(0).cancel()
    assert set(await asyncio.gather(*waiting)) == {None}
    assert len(issuer.forms) == 1


async def test_signed_tokens_are_verified_as_ever_and_never_sent(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer)
    assert await reason(world, identity, issuer.tokens.bearer()) is None
    assert await reason(world, identity, issuer.tokens.bearer()[:-4] + b"AAAA") is Reason.TOKEN_SIGNATURE_INVALID
    assert not issuer.forms


async def test_a_signed_token_of_another_issuer_is_never_sent(world):
    here, elsewhere = await world.issuer(), await world.issuer()
    identity = await asking(world, here)
    assert await reason(world, identity, elsewhere.tokens.bearer()) is Reason.TOKEN_ISSUER_UNKNOWN
    assert not here.forms


async def test_an_encrypted_token_says_nothing_to_us(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer)
    bearer = issuer.issue()
    issuer.opaque["eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn"] = issuer.opaque.pop(bearer[7:].decode())
    assert await reason(world, identity, b"Bearer eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn") is None


async def test_the_endpoint_is_where_the_metadata_says(world):
    issuer = await world.issuer()
    metadata = issuer.metadata

    def with_endpoint():
        return metadata() | {"introspection_endpoint": issuer.url + INTROSPECTION}

    issuer.metadata = with_endpoint
    identity = await asking(world, issuer, endpoint=None)
    assert await reason(world, identity, issuer.issue()) is None
    assert issuer.asked == [DISCOVERY, INTROSPECTION]
    issuer.metadata = metadata
    bare = await asking(world, issuer, endpoint=None)
    refusal = await world.ask(bare, issuer.issue())
    assert refusal.reason is Reason.INTROSPECTION_UNAVAILABLE
    assert "names no `introspection_endpoint`" in refusal.cause


async def test_metadata_that_only_introspection_needs_is_kept_fresh(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer, endpoint=None, started=True, trust={"jwks_uri": issuer.url + KEYS})
    metadata = identity.metadata[issuer.url]
    while metadata._running is not None:
        await metadata._running
    assert metadata.current(world.clock.wall) is not None
    assert metadata._keeper is not None


@pytest.mark.parametrize("how", ["unknown client", "no such place"])
async def test_an_endpoint_that_refuses_us_is_unavailable(world, how):
    issuer = await world.issuer()
    options = {"client_id": "other"} if how == "unknown client" else {"endpoint": issuer.url + "/nothing"}
    identity = await asking(world, issuer, **options)
    refusal = await world.ask(identity, issuer.issue())
    assert (refusal.reason, refusal.status) == (Reason.INTROSPECTION_UNAVAILABLE, 503)
    assert ("answered 401" if how == "unknown client" else "answered 404") in refusal.cause
    assert dict(refusal.fields) == {b"retry-after": b"5"}


async def test_all_of_its_tokens_are_verified_and_asked_about(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer, tokens="all", cache="60s")
    bearer = issuer.tokens.bearer(jti="1")
    name = bearer[7:].decode()
    assert await reason(world, identity, bearer) is Reason.TOKEN_INACTIVE
    world.clock.advance(10)
    issuer.opaque[name] = {"active": True}
    identified = await world.ask(identity, bearer)
    assert (identified.token.kind, identified.token.key_id) == ("jwt", "key-1")
    assert len(issuer.forms) == 2
    issuer.opaque.clear()
    world.clock.advance(59)
    assert await reason(world, identity, bearer) is None
    world.clock.advance(1)
    assert await reason(world, identity, bearer) is Reason.TOKEN_INACTIVE
    forged = issuer.tokens.bearer(jti="2")[:-4] + b"AAAA"
    assert await reason(world, identity, forged) is Reason.TOKEN_SIGNATURE_INVALID
    assert len(issuer.forms) == 3


async def test_one_that_was_asked_about_ends_with_its_key_too(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer, tokens="all", cache="1h")
    bearer = issuer.tokens.bearer()
    issuer.opaque[bearer[7:].decode()] = {"active": True}
    assert await reason(world, identity, bearer) is None
    issuer.keys = [public_jwk(private_key("ES256", "another"), kid="key-2")]
    assert await identity._stores[0].refresh()
    assert await reason(world, identity, bearer) is Reason.TOKEN_KEY_UNKNOWN


async def test_where_its_word_is_all_no_keys_are_fetched(world):
    issuer = await world.issuer()
    issuer.answers[KEYS] = issuer.answers[DISCOVERY] = issuer.hang
    identity = await asking(world, issuer, tokens="all", verify_signatures=False, started=True)
    bearer = issuer.tokens.bearer(sub=ABSENT)[:-4] + b"AAAA"  # by whatever means it verifies its own
    assert await reason(world, identity, bearer) is Reason.TOKEN_INACTIVE
    world.clock.advance(10)
    issuer.opaque[bearer[7:].decode()] = {"active": True} | issuer.tokens.claims(sub="bob")
    identified = await world.ask(identity, bearer)
    assert (identified.token.subject, identified.token.kind) == ("bob", "opaque")
    assert list(identity.unready()) == []
    assert issuer.asked == [INTROSPECTION] * 2


async def test_a_route_with_two_that_are_asked_stops_the_start(world):
    one, other = await world.issuer(), await world.issuer()
    sections = [world.trust(issuer, introspection=world.introspection(issuer)) for issuer in (one, other)]
    with pytest.raises(IdentityConfigError, match=r"routes\[r\].issuers: .* both asked about opaque tokens"):
        await world.build(world.settings(sections))
    routes = [world.route("r", issuers=[one.url]), world.route("s", issuers=[other.url])]
    identity = await world.build(world.settings(sections, routes=routes), started=False)
    bearer = one.issue()
    assert await reason(world, identity, bearer) is None
    assert await reason(world, identity, bearer, route="s") is Reason.TOKEN_INACTIVE


async def test_a_reload_asks_anew(world):
    issuer = await world.issuer()
    before = await asking(world, issuer)
    bearer = issuer.issue()
    assert await reason(world, before, bearer) is None
    issuer.opaque.clear()
    after = await asking(world, issuer)
    after.take_over(before)
    assert await reason(world, after, bearer) is Reason.TOKEN_INACTIVE


async def test_it_can_be_closed_while_it_asks(world):
    issuer = await world.issuer()
    issuer.answers[INTROSPECTION] = issuer.hang
    identity = await asking(world, issuer)
    waiting = asyncio.ensure_future(reason(world, identity, issuer.issue()))
    while not issuer.asked:
        await asyncio.sleep(0)
    await identity.close()
    assert await waiting is Reason.INTROSPECTION_UNAVAILABLE


async def test_its_outcomes_are_counted(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer)
    introspector = identity._issuers[issuer.url].introspection
    await reason(world, identity, issuer.issue())
    await reason(world, identity, b"Bearer unknown")
    await issuer.stop()
    await reason(world, identity, b"Bearer another")
    assert introspector.outcomes == {"active": 1, "inactive": 1, "failed": 1}
    assert introspector.last_failure
    assert introspector.waiting == 0
