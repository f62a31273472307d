"""An upstream gets the token that was obtained for it in exchange for this caller's, or no request at all."""

import json
import re
import time
from hashlib import sha256

import jwt
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.exchanging import Scene
from tests.issuer_server import Handler
from tests.raw_server import Scene as Servers
from tests.raw_server import always, authorized, exchange, token
from ztproxy.identity.exchange.answer import TYPES, Issued, read_answer
from ztproxy.identity.issuers.fetching import MAXIMUM_DOCUMENT, Answer
from ztproxy.model import Authorized, Reason, Refusal, Refused

EXCHANGE = {"client_id": "g", "client_authentication": "none", "audience": ["orders"]}
ROUTE = {"require": ["token"], "token_exchange": EXCHANGE, "issuers": ["https://idp.test"]}
GOOD = {"access_token": "theirs", "issued_token_type": TYPES["access_token"], "token_type": "Bearer", "expires_in": 60}


@pytest.fixture
async def scene(tmp_path):
    async with Scene(tmp_path) as scene:
        yield scene


def says(body: object, status: int = 200, media_type: str = "application/json") -> Handler:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=content, status=status, content_type=media_type)

    return handler


ANSWERS = {
    "N_A": says(GOOD | {"token_type": "N_A"}),
    "an id token": says(GOOD | {"issued_token_type": "urn:ietf:params:oauth:token-type:id_token"}),
    "html": says(b"<html>", media_type="text/html"),
    "a megabyte": says(GOOD | {"x": "x" * (1 << 20)}),
    "just too long": says(b" " * MAXIMUM_DOCUMENT + json.dumps(GOOD).encode()),
    "a field of its own": says(GOOD | {"access_token": "x\r\nX-Role: admin"}),
    "a moved endpoint": says(GOOD, status=307),
    "an error in a success": says({"error": "access_denied"}),
    "denied": says({"error": "access_denied"}, status=403),
    "broken": says(b"", status=500),
    "twice": says(b'{"access_token":"a","access_token":"b"}'),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_none_lets_nothing_through(scene, answer):
    await scene.begin()
    scene.server.answers["/token"] = answer
    outcome = await scene.asked(scene.server.tokens.bearer())
    assert isinstance(outcome, Refused)
    assert outcome.refusal.reason is Reason.TOKEN_EXCHANGE_FAILED
    assert outcome.refusal.status in (403, 502, 503)


async def test_the_callers_own_token_never_comes_back(scene):
    await scene.begin()
    bearer = scene.server.tokens.bearer()
    scene.endpoint.change = lambda answer: answer | {"access_token": bearer.removeprefix(b"Bearer ").decode()}
    outcome = await scene.asked(bearer)
    assert (outcome.refusal.status, "the caller's own" in outcome.refusal.cause) == (502, True)


async def test_one_callers_token_is_never_used_for_another(scene):
    await scene.begin()
    bearers = {subject: scene.server.tokens.bearer(sub=subject) for subject in ("alice", "bob", "carol")}
    for _ in range(2):
        for subject, bearer in bearers.items():
            outcome = await scene.asked(bearer)
            assert jwt.decode(outcome.credentials, options={"verify_signature": False})["sub"] == subject
    assert len(scene.endpoint.asked) == 3


@pytest.mark.parametrize("values", [(), (b"Bearer another",), (b"Basic b3du",), (b"Bearer own", b"Bearer own")])
async def test_nothing_but_the_token_that_was_verified_is_exchanged(scene, values):
    """A session has presented none; what else a request carries is nobody's."""
    await scene.begin()
    caller = token(digest=sha256(b"own").digest())
    asked = authorized(token=caller, unverified_authorization=values)
    refusal = await scene.identity_of_all.exchangers["r"].of(asked, caller)
    assert (refusal.reason, refusal.status) == (Reason.TOKEN_EXCHANGE_FAILED, 403)
    assert scene.endpoint.asked == []


async def test_it_is_not_used_past_the_end_of_the_callers_token(scene):
    """Within the leeway the caller still counts, but what came of its token is not used again."""
    await scene.begin(lifetime=3600)
    bearer = scene.server.tokens.bearer(exp=int(scene.clock.wall) + 20)
    assert isinstance(await scene.asked(bearer), Authorized)
    scene.clock.advance(19)
    assert isinstance(await scene.asked(bearer), Authorized)
    assert len(scene.endpoint.asked) == 1
    scene.clock.advance(2)
    late = await scene.asked(bearer)
    assert (late.refusal.reason, late.refusal.status) == (Reason.TOKEN_EXCHANGE_FAILED, 403)
    assert len(scene.endpoint.asked) == 2


async def test_a_token_that_counts_no_more_gets_none_that_is_remembered(scene):
    await scene.begin(lifetime=3600)
    bearer = scene.server.tokens.bearer(exp=int(scene.clock.wall) + 20)
    await scene.asked(bearer)
    scene.clock.advance(100)
    outcome = await scene.asked(bearer)
    assert outcome.refusal.reason is Reason.TOKEN_EXPIRED


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "error"]), st.none() | st.booleans() | st.integers() | st.text(), max_size=5
    )
)
def test_whatever_is_answered_only_a_token_comes_of_it(members):
    body = json.dumps(GOOD | members).encode()
    read = read_answer(Answer(200, "application/json", body), "access_token", b"own")
    if isinstance(read, Issued):
        assert re.fullmatch(rb"[A-Za-z0-9._~+/=-]+", read.token)
        assert read.lifetime is None or read.lifetime > 0
    else:
        assert isinstance(read, Refusal)


async def test_the_upstream_sees_that_token_and_no_other():
    async with Servers() as servers:
        server = await servers.start(always(b"HTTP/1.1 204 No Content\r\n\r\n"))
        upstreams = servers.build(server.url, route=ROUTE)
        caller = token(expires_at=time.time() + 60)
        client = await exchange(
            upstreams, token=caller, unverified_authorization=(b"Bearer own",), credentials=b"theirs"
        )
        assert client.status == 204
        assert server.heads[0].lower().count(b"authorization:") == 1
        assert b"\r\nAuthorization: Bearer theirs\r\n" in server.heads[0]
        assert b"own" not in server.heads[0]


@pytest.mark.parametrize("credentials", [b"", b"x\r\nX-Role: admin", b"a b", b"\xff", b"x\n"])
async def test_without_a_token_no_head_is_written(credentials):
    async with Servers() as servers:
        server = await servers.start(always(b"HTTP/1.1 204 No Content\r\n\r\n"))
        upstreams = servers.build(server.url, route=ROUTE)
        asked = {"token": token(), "unverified_authorization": (b"Bearer own",), "credentials": credentials}
        client = await exchange(upstreams, **asked)
        assert client.refusal.reason is Reason.INTERNAL_ERROR
        assert server.heads == []


async def test_another_route_does_not_send_it():
    async with Servers() as servers:
        server = await servers.start(always(b"HTTP/1.1 204 No Content\r\n\r\n"))
        upstreams = servers.build(server.url)
        client = await exchange(upstreams, token=token(), credentials=b"theirs")
        assert client.status == 204
        assert b"theirs" not in server.heads[0]


def test_a_request_is_authorised_without_credentials_at_first():
    assert authorized().credentials == b""
