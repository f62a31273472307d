"""Where access tokens by RFC 9068 are demanded, nothing else that the issuer signed counts."""

import pytest

from tests.issuer_server import World
from tests.tokens import ABSENT
from ztproxy.model import Identified, Reason

WHOLE = {"client_id": "app", "jti": "1"}


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


async def refused(world, *, demanded="access", header=None, **claims):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False, token_type=demanded)
    outcome = await world.ask(identity, issuer.tokens.bearer(header=header or {}, **(WHOLE | claims)))
    return None if isinstance(outcome, Identified) else outcome


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_an_access_token_counts(world, typ):
    assert await refused(world, header={"typ": typ}) is None


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt", ABSENT])
async def test_an_id_token_is_none(world, typ):
    refusal = await refused(world, header={"typ": typ}, nonce="n", at_hash="h")
    assert refusal.reason is Reason.TOKEN_TYPE_REFUSED
    assert "at+jwt" in refusal.detail
    assert b'error="invalid_token"' in dict(refusal.fields)[b"www-authenticate"]
    assert await refused(world, demanded="any", header={"typ": typ}) is None


@pytest.mark.parametrize("name", ["client_id", "jti", "iat"])
async def test_each_claim_that_an_access_token_has_is_demanded(world, name):
    refusal = await refused(world, header={"typ": "at+jwt"}, **{name: ABSENT})
    assert refusal.reason is Reason.TOKEN_TYPE_REFUSED
    assert f"`{name}`" in refusal.detail
    assert await refused(world, demanded="any", header={"typ": "at+jwt"}, **{name: ABSENT}) is None


@pytest.mark.parametrize("change", [{"client_id": 7}, {"client_id": ""}, {"jti": ["1"]}, {"jti": "a\nb"}])
async def test_a_claim_that_is_no_name_does_not_do(world, change):
    assert (await refused(world, header={"typ": "at+jwt"}, **change)).reason is Reason.TOKEN_TYPE_REFUSED


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp"])
async def test_what_every_token_has_is_demanded_as_ever(world, name):
    assert (await refused(world, header={"typ": "at+jwt"}, **{name: ABSENT})).reason is Reason.TOKEN_MALFORMED


async def test_an_opaque_token_is_what_its_issuer_says(world):
    issuer = await world.issuer()
    section = world.trust(issuer, introspection=world.introspection(issuer), token_type="access")
    identity = await world.build(world.settings([section]), started=False)
    assert isinstance(await world.ask(identity, issuer.issue()), Identified)
