"""What is no token, or has two readings, is refused before it costs anything."""

import json
import time

import msgspec
import pytest

from tests.issuer_server import World
from tests.tokens import base64url, encode
from ztproxy.model import Identified, Reason, Routed


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


@pytest.fixture
async def issuer(world):
    return await world.issuer()


@pytest.fixture
async def identity(world, issuer):
    return await world.identity([issuer], started=False)


async def refused(world, identity, *authorization):
    began = time.perf_counter()
    outcome = await world.ask(identity, *authorization)
    assert time.perf_counter() - began < 0.2
    assert not isinstance(outcome, Identified)
    assert outcome.reason is Reason.TOKEN_MALFORMED
    return True


async def test_two_authorization_fields(world, issuer, identity):
    good = issuer.tokens.bearer()
    assert await refused(world, identity, good, good)
    assert await refused(world, identity, good, b"Basic YTpi")
    assert issuer.asked == []


async def test_two_tokens_in_one_field(world, issuer, identity):
    token = issuer.tokens.token()
    for value in (b"Bearer %s, Bearer %s", b"Bearer %s %s", b"Bearer %s,%s"):
        assert await refused(world, identity, value % (token, token))


@pytest.mark.parametrize("value", [b"Bearer", b"Bearer ", b"bearer  ", b"Bearer \t", b"BEARER ..", b"Bearer a.b.c.d"])
async def test_a_bearer_without_a_token(world, identity, value):
    assert await refused(world, identity, value)


async def test_a_megabyte_token_and_one_just_too_long(world, issuer, identity):
    for size in (1 << 20, 16385):
        assert await refused(world, identity, b"Bearer " + b"A" * size)
    padded = issuer.tokens.bearer(filler="x" * 16384)
    assert await refused(world, identity, padded)
    assert issuer.asked == []


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
async def test_a_payload_nested_deep(world, issuer, identity, opening):
    deep = b'{"iss":"x","a":' + opening * (5000 // len(opening)) + b"}"
    for header, payload in ((issuer.tokens.head(), deep), (deep, issuer.tokens.claims())):
        token = encode(header, payload, lambda _: b"x")
        assert await refused(world, identity, b"Bearer " + token)
    assert issuer.asked == []


async def test_a_string_that_never_ends_takes_no_quadratic_time(world, identity):
    payload = b'{"a":[[[[[[[[[[[[[[[[[["' + b'\\"' * 5500
    assert await refused(world, identity, b"Bearer " + encode(b"{}", payload, lambda _: b"x"))
    assert await refused(world, identity, b"Bearer " + encode(payload + b"\\", b"{}", lambda _: b"x"))


async def test_depth_inside_strings_is_no_depth(world, issuer, identity):
    bearer = issuer.tokens.bearer(note="[{" * 500, path='\\"[[' * 20)
    assert isinstance(await world.ask(identity, bearer), Identified)


@pytest.mark.parametrize("member", ["alg", "kid", "typ"])
async def test_a_header_member_twice(world, issuer, identity, member):
    head = json.dumps(issuer.tokens.head()).encode()
    doubled = head[:-1] + b',"' + member.encode() + b'":"x"}'
    assert await refused(world, identity, b"Bearer " + encode(doubled, issuer.tokens.claims(), issuer.tokens.sign))


async def test_a_claim_twice_at_any_depth(world, issuer, identity):
    claims = json.dumps(issuer.tokens.claims()).encode()
    for more in (b',"sub":"root"}', b',"s\\u0075b":"root"}', b',"a":{"b":1,"b":2}}'):
        token = encode(issuer.tokens.head(), claims[:-1] + more, issuer.tokens.sign)
        assert await refused(world, identity, b"Bearer " + token)


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"1", b"null", b'"x"', b"{}x", b"{}{}", b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b'{"a":"\\ud800"}'],
)
async def test_a_part_that_is_no_object(world, issuer, identity, payload):
    assert await refused(world, identity, b"Bearer " + encode(issuer.tokens.head(), payload, issuer.tokens.sign))
    assert await refused(world, identity, b"Bearer " + encode(payload, issuer.tokens.claims(), issuer.tokens.sign))


@pytest.mark.parametrize("text", [b"\\ud800", b"\\udc00\\ud800", b"\xff", b"\xed\xa0\x80", b"\xc0\x80"])
async def test_a_claim_that_is_no_unicode(world, issuer, identity, text):
    claims = json.dumps(issuer.tokens.claims(note="HERE")).encode().replace(b"HERE", text)
    assert await refused(world, identity, b"Bearer " + encode(issuer.tokens.head(), claims, issuer.tokens.sign))


async def test_another_spelling_of_the_same_token(world, issuer, identity):
    token = issuer.tokens.token()
    head, payload, signature = token.split(b".")
    assert isinstance(await world.ask(identity, b"Bearer " + token), Identified)
    last = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    unused_bits = signature[:-1] + last[last.index(signature[-1:]) + 1 :][:1]
    for other in (
        b".".join((head, payload, signature + b"==")),
        b".".join((head + b"=", payload, signature)),
        b".".join((head, payload, unused_bits)),
        b".".join((head, payload.replace(b"e", b"e\n", 1), signature)),
        b".".join((head, b"\xc3\xa9" + payload, signature)),
        token + b".",
        b"." + token,
        token.replace(b".", b" ."),
        base64url(b"{}") + b"+/" + token,
    ):
        assert await refused(world, identity, b"Bearer " + other)


async def test_the_schemes_case_does_not_matter(world, issuer, identity):
    token = issuer.tokens.token()
    for value in (b"bearer " + token, b"BEARER   " + token):
        assert isinstance(await world.ask(identity, value), Identified)


async def test_a_token_in_the_query_string_is_no_token(world, issuer, identity):
    routed = world.routed()
    query = "access_token=" + issuer.tokens.token().decode()
    arrived = msgspec.structs.replace(routed.arrived, query=query, has_query=True)
    refusal = await identity.identify(Routed(arrived, routed.route))
    assert refusal.reason is Reason.TOKEN_MISSING
