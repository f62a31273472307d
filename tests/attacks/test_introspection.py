"""Opaque tokens: what is not plainly said to be good lets nobody in, holds nobody up, and is soon forgotten."""

import asyncio
import contextlib
import json

import pytest
from aiohttp import web

from tests.issuer_server import INTROSPECTION, World
from tests.tokens import ABSENT, confirmation
from ztproxy.identity.tokens import introspection
from ztproxy.identity.tokens.introspected import MAXIMUM_ANSWER
from ztproxy.model import Identified, Reason


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


async def asking(world, issuer, *, trust=None, **options):
    section = world.trust(issuer, introspection=world.introspection(issuer, **options), **(trust or {}))
    return await world.build(world.settings([section]), started=False)


async def reason(world, identity, bearer, **options):
    outcome = await world.ask(identity, bearer, **options)
    return None if isinstance(outcome, Identified) else outcome.reason


def says(body, **options):
    async def answer(request):
        return web.Response(body=body, **({"content_type": "application/json"} | options))

    return answer


def good(issuer, **changes):
    return {"active": True} | issuer.tokens.claims(**changes)


@pytest.mark.parametrize("active", ["true", 1, 1.0, [True], {}, None, ABSENT, "yes"])
async def test_active_is_true_and_nothing_like_it(world, active):
    issuer = await world.issuer()
    answer = {name: value for name, value in (good(issuer) | {"active": active}).items() if value is not ABSENT}
    issuer.answers[INTROSPECTION] = says(json.dumps(answer).encode())
    identity = await asking(world, issuer)
    assert await reason(world, identity, b"Bearer opaque") is Reason.INTROSPECTION_UNAVAILABLE


@pytest.mark.parametrize(
    "body",
    [b"", b"true", b"[]", b"nonsense", b'{"active":false,"active":true}', b'{"active":true', b'{"active":true}x',
     b'{"active":true,"exp":1e999}', b'{"active":true,"a":' + b"[" * 100_000],
)  # fmt: skip
async def test_an_answer_that_cannot_be_read_is_none(world, body):
    issuer = await world.issuer()
    issuer.answers[INTROSPECTION] = says(body)
    identity = await asking(world, issuer)
    assert await reason(world, identity, b"Bearer opaque") is Reason.INTROSPECTION_UNAVAILABLE


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"iss": "https://evil.test"}, Reason.TOKEN_ISSUER_UNKNOWN),
        ({"iss": None}, Reason.TOKEN_ISSUER_UNKNOWN),
        ({"aud": "other"}, Reason.TOKEN_AUDIENCE_MISMATCH),
        ({"aud": ABSENT}, Reason.TOKEN_MALFORMED),
        ({"aud": {"ztproxy": 1}}, Reason.TOKEN_MALFORMED),
        ({"sub": ABSENT}, Reason.TOKEN_MALFORMED),
        ({"sub": 7}, Reason.TOKEN_MALFORMED),
        ({"sub": "a\nb"}, Reason.TOKEN_MALFORMED),
        ({"exp": 1}, Reason.TOKEN_EXPIRED),
        ({"exp": "1900000000"}, Reason.TOKEN_MALFORMED),
        ({"exp": None}, Reason.TOKEN_MALFORMED),
        ({"nbf": 1_900_000_000}, Reason.TOKEN_NOT_YET_VALID),
        ({"cnf": confirmation(b"another certificate")}, Reason.TOKEN_BINDING_MISMATCH),
        ({"cnf": {}}, Reason.TOKEN_BINDING_MISMATCH),
        ({"token_type": "refresh_token"}, Reason.TOKEN_TYPE_REFUSED),
        ({"typ": "Refresh"}, Reason.TOKEN_TYPE_REFUSED),
        ({"typ": "ID"}, Reason.TOKEN_TYPE_REFUSED),
        ({"token_type": ["Bearer"]}, Reason.TOKEN_TYPE_REFUSED),
    ],
)
async def test_an_active_token_is_still_one_for_us_and_of_now(world, change, expected):
    issuer = await world.issuer()
    bearer = issuer.issue(**change)
    assert await reason(world, await asking(world, issuer), bearer) is expected


async def test_a_client_cannot_pose_as_a_user_by_its_name(world):
    issuer = await world.issuer()
    bearer = issuer.issue(sub=ABSENT, client_id="alice")
    assert await reason(world, await asking(world, issuer), bearer) is Reason.TOKEN_MALFORMED
    named = issuer.issue(sub="bob", client_id="alice")
    identified = await world.ask(await asking(world, issuer, client_as_subject=True), named)
    assert identified.token.subject == "bob"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 201, 204, 400, 401, 403, 500])
async def test_no_status_but_200_is_an_answer_and_no_redirect_is_followed(world, status):
    issuer = await world.issuer()
    body = b"" if status == 204 else json.dumps(good(issuer)).encode()
    issuer.answers[INTROSPECTION] = says(body, status=status, headers={"Location": issuer.url + "/elsewhere"})
    issuer.answers["/elsewhere"] = says(json.dumps(good(issuer)).encode())
    identity = await asking(world, issuer)
    assert await reason(world, identity, b"Bearer opaque") is Reason.INTROSPECTION_UNAVAILABLE
    assert "/elsewhere" not in issuer.asked


@pytest.mark.parametrize("kind", ["text/html", "application/token-introspection+jwt", "text/json"])
async def test_an_answer_of_another_kind_is_none(world, kind):
    issuer = await world.issuer()
    issuer.answers[INTROSPECTION] = says(json.dumps(good(issuer)).encode(), content_type=kind)
    assert await reason(world, await asking(world, issuer), b"Bearer opaque") is Reason.INTROSPECTION_UNAVAILABLE


async def test_an_answer_without_end_is_cut_off(world):
    issuer = await world.issuer()
    sent = 0

    async def stream(request):
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while request.transport is not None:
                await response.write(b" " * 65536)
                sent += 65536
                await asyncio.sleep(0)  # a peer that broke off is only seen so
        return response

    issuer.answers[INTROSPECTION] = stream
    assert await reason(world, await asking(world, issuer), b"Bearer opaque") is Reason.INTROSPECTION_UNAVAILABLE
    assert sent < 64 << 20


async def test_an_answer_that_would_fill_the_memory_is_none(world):
    issuer = await world.issuer()
    bearer = issuer.issue(filler="x" * MAXIMUM_ANSWER)
    assert await reason(world, await asking(world, issuer), bearer) is Reason.INTROSPECTION_UNAVAILABLE


async def test_what_was_said_counts_against_the_memory_for_tokens(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer)
    await reason(world, identity, issuer.issue(filler="x" * 50_000))
    assert identity._bearers._octets > 50_000


@pytest.mark.slow
async def test_an_endpoint_that_hangs_is_not_waited_for_and_delays_no_other_token(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer, timeout="300ms")
    known = issuer.issue()
    assert await reason(world, identity, known) is None
    issuer.answers[INTROSPECTION] = issuer.hang
    waiting = asyncio.ensure_future(reason(world, identity, b"Bearer opaque"))
    while len(issuer.asked) < 2:
        await asyncio.sleep(0)
    assert await reason(world, identity, known) is None
    assert await reason(world, identity, issuer.tokens.bearer()) is None
    assert not waiting.done()
    assert await waiting is Reason.INTROSPECTION_UNAVAILABLE


async def test_while_it_is_away_nobody_new_gets_in_and_who_was_known_does_for_as_long_as_that_counts(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer, cache="60s")
    known = issuer.issue()
    assert await reason(world, identity, known) is None
    await issuer.stop()
    world.clock.advance(59)
    assert await reason(world, identity, known) is None
    assert await reason(world, identity, b"Bearer opaque") is Reason.INTROSPECTION_UNAVAILABLE
    world.clock.advance(1)
    assert await reason(world, identity, known) is Reason.INTROSPECTION_UNAVAILABLE
    await issuer.start()
    assert await reason(world, identity, known) is None


async def test_a_flood_of_unknown_tokens_is_so_many_questions_at_once(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer, maximum_in_flight=3)
    at_once, most, held = 0, 0, asyncio.Event()

    async def count(request):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await held.wait()
        at_once -= 1
        return web.json_response({"active": False})

    issuer.answers[INTROSPECTION] = count
    flood = [asyncio.ensure_future(reason(world, identity, b"Bearer unknown-%d" % one)) for one in range(20)]
    while at_once < 3:
        await asyncio.sleep(0)
    for _ in range(50):  # were there more, they would come now
        await asyncio.sleep(0)
    held.set()
    assert set(await asyncio.gather(*flood)) == {Reason.TOKEN_INACTIVE}
    assert most == 3


async def test_so_many_may_wait_and_the_rest_is_refused_at_once(world, monkeypatch):
    monkeypatch.setattr(introspection, "MAXIMUM_WAITING", 5)
    issuer = await world.issuer()
    issuer.answers[INTROSPECTION] = issuer.hang
    identity = await asking(world, issuer)
    waiting = [asyncio.ensure_future(reason(world, identity, b"Bearer unknown-%d" % one)) for one in range(5)]
    await asyncio.sleep(0)
    refusal = await world.ask(identity, b"Bearer one-more")
    assert (refusal.reason, refusal.status) == (Reason.INTROSPECTION_UNAVAILABLE, 503)
    assert "too many" in refusal.cause
    issuer.hold.set()
    await asyncio.gather(*waiting)
    assert await reason(world, identity, b"Bearer one-more") is not None
    assert identity._issuers[issuer.url].introspection.waiting == 0


async def test_one_refused_token_again_and_again_is_one_question_in_ten_seconds(world):
    issuer = await world.issuer()
    identity = await asking(world, issuer)
    for bearer in (b"Bearer x", issuer.issue(aud="other")):
        del issuer.forms[:]
        expected = Reason.TOKEN_INACTIVE if bearer == b"Bearer x" else Reason.TOKEN_AUDIENCE_MISMATCH
        assert {await reason(world, identity, bearer) for _ in range(20)} == {expected}
        world.clock.advance(9.9)
        assert await reason(world, identity, bearer) is expected
        assert len(issuer.forms) == 1
        world.clock.advance(0.1)
        assert await reason(world, identity, bearer) is expected
        assert len(issuer.forms) == 2


async def test_only_so_many_refusals_are_remembered(world, monkeypatch):
    monkeypatch.setattr(introspection, "MAXIMUM_REFUSED", 3)
    issuer = await world.issuer()
    identity = await asking(world, issuer)
    for number in range(5):
        await reason(world, identity, b"Bearer unknown-%d" % number)
    assert len(identity._issuers[issuer.url].introspection._refused) == 3


async def test_what_could_not_be_asked_is_not_remembered(world):
    issuer = await world.issuer()
    bearer = issuer.issue()
    identity = await asking(world, issuer)
    await issuer.stop()
    assert await reason(world, identity, bearer) is Reason.INTROSPECTION_UNAVAILABLE
    await issuer.start()
    assert await reason(world, identity, bearer) is None


async def test_without_introspection_an_opaque_token_is_malformed(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.issue()) is Reason.TOKEN_MALFORMED
    assert issuer.asked == []


@pytest.mark.parametrize("token", [b"a b", b'a"b', b"a&token=b", b"a%00", b"\xc3\xa4", b"a\x00b", b"=", b"a=b", b""])
async def test_what_could_be_no_token_is_never_sent(world, token):
    issuer = await world.issuer()
    identity = await asking(world, issuer)
    assert await reason(world, identity, b"Bearer " + token) in {Reason.TOKEN_MALFORMED, Reason.TOKEN_MISSING}
    assert not issuer.forms


@pytest.mark.parametrize("header", [{"alg": "none"}, {"typ": "logout+jwt"}, {"crit": ["x"]}, {"jwk": {}}, {"alg": 7}])
async def test_a_signed_token_that_is_refused_is_not_taken_for_an_opaque_one(world, header):
    issuer = await world.issuer()
    bearer = issuer.tokens.bearer(header=header)
    issuer.opaque[bearer[7:].decode()] = good(issuer)
    identity = await asking(world, issuer)
    assert await reason(world, identity, bearer) in {Reason.TOKEN_MALFORMED, Reason.TOKEN_ALGORITHM_REFUSED}
    assert not issuer.forms


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sub": "mallory"}, Reason.TOKEN_INACTIVE),
        ({"jti": "2"}, Reason.TOKEN_INACTIVE),
        ({"client_id": "other"}, Reason.TOKEN_INACTIVE),
        ({"iss": "https://evil.test"}, Reason.TOKEN_ISSUER_UNKNOWN),
        ({"cnf": confirmation(b"a certificate")}, Reason.TOKEN_BINDING_MISMATCH),
        ({"token_type": "refresh_token"}, Reason.TOKEN_TYPE_REFUSED),
        ({}, None),
    ],
)
async def test_what_is_said_of_a_signed_token_must_agree_with_it(world, change, expected):
    issuer = await world.issuer()
    bearer = issuer.tokens.bearer(jti="1", client_id="app")
    issuer.opaque[bearer[7:].decode()] = {"active": True} | change
    assert await reason(world, await asking(world, issuer, tokens="all"), bearer) is expected


async def test_the_secret_and_the_token_stand_in_no_cause_and_no_log(world, caplog):
    issuer = await world.issuer()
    identity = await asking(world, issuer, client_id="other")
    refusal = await world.ask(identity, b"Bearer opaque-and-secret")
    said = f"{refusal} {caplog.text}"
    assert "cannot be asked about tokens" in said
    assert "not-a-secret" not in said
    assert "opaque-and-secret" not in said
