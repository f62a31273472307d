"""Exchanging callers' tokens: what is asked, what is remembered and until when, and how it is bounded."""

import asyncio

import jwt
import pytest

from tests.exchange_endpoint import ExchangeError
from tests.exchanging import Scene
from tests.pki import Authority
from ztproxy.identity import IdentityConfigError
from ztproxy.identity.exchange.exchanger import MAXIMUM_REMEMBERED
from ztproxy.model import Authorized, Reason, Refused


@pytest.fixture
async def scene(tmp_path):
    async with Scene(tmp_path) as scene:
        yield scene


def claims_of(outcome):
    assert isinstance(outcome, Authorized), outcome
    return jwt.decode(outcome.credentials, options={"verify_signature": False})


async def test_the_upstream_gets_a_token_of_its_own_for_the_caller(scene):
    await scene.begin(scope=["read", "write"])
    claims = claims_of(await scene.asked(scene.server.tokens.bearer(sub="bob")))
    assert (claims["sub"], claims["aud"], claims["scope"]) == ("bob", ["orders"], "read write")
    assert claims["act"] == {"sub": "gate way"}
    (form,) = scene.endpoint.asked
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]
    assert form["requested_token_type"] == ["urn:ietf:params:oauth:token-type:access_token"]


async def test_audiences_and_resources_are_each_named(scene):
    await scene.begin(audience=["orders"], resource=["https://orders.test/"], requested_token_type="jwt")
    claims = claims_of(await scene.asked(scene.server.tokens.bearer()))
    assert claims["aud"] == ["orders", "https://orders.test/"]


async def test_other_routes_exchange_nothing(scene):
    await scene.begin()
    outcome = await scene.asked(scene.server.tokens.bearer(), route="plain")
    assert (outcome.credentials, scene.endpoint.asked) == (b"", [])


async def test_one_exchange_serves_many_requests_of_one_token(scene):
    await scene.begin()
    first, second = scene.server.tokens.bearer(), scene.server.tokens.bearer(sub="bob")
    made = [(await scene.asked(each)).credentials for each in (first, second, first, second)]
    assert made[:2] == made[2:]
    assert made[0] != made[1]
    assert len(scene.endpoint.asked) == 2


async def test_it_is_renewed_before_its_end(scene):
    await scene.begin(lifetime=100)
    bearer = scene.server.tokens.bearer()
    first = await scene.asked(bearer)
    scene.clock.advance(89)
    assert (await scene.asked(bearer)).credentials == first.credentials
    scene.clock.advance(1)
    assert (await scene.asked(bearer)).credentials != first.credentials


async def test_it_is_used_no_longer_than_configured(scene):
    await scene.begin(lifetime=3600, maximum_age="1m")
    bearer = scene.server.tokens.bearer()
    first = await scene.asked(bearer)
    scene.clock.advance(59)
    assert (await scene.asked(bearer)).credentials == first.credentials
    scene.clock.advance(1)
    assert (await scene.asked(bearer)).credentials != first.credentials


async def test_without_a_lifetime_each_request_exchanges(scene):
    await scene.begin(lifetime=None)
    bearer = scene.server.tokens.bearer()
    assert (await scene.asked(bearer)).credentials != (await scene.asked(bearer)).credentials
    assert len(scene.endpoint.asked) == 2


async def test_many_at_once_share_one_exchange(scene):
    await scene.begin(lifetime=None)
    bearer = scene.server.tokens.bearer()
    scene.endpoint.go_on.clear()
    asking = [asyncio.create_task(scene.asked(bearer)) for _ in range(10)]
    await scene.endpoint.until_asked(1)
    asking[0].cancel()  # the one that began it
    scene.endpoint.go_on.set()
    outcomes = await asyncio.gather(*asking[1:])
    assert len({outcome.credentials for outcome in outcomes}) == 1
    assert len(scene.endpoint.asked) == 1


async def test_no_more_than_so_many_are_under_way(scene):
    await scene.begin(maximum=2)
    scene.endpoint.go_on.clear()
    bearers = [scene.server.tokens.bearer(sub=f"user-{number}") for number in range(3)]
    asking = [asyncio.create_task(scene.asked(bearer)) for bearer in bearers[:2]]
    await scene.endpoint.until_asked(2)
    refused = await scene.asked(bearers[2])
    assert isinstance(refused, Refused)
    assert (refused.refusal.reason, refused.refusal.status) == (Reason.TOKEN_EXCHANGE_FAILED, 503)
    scene.endpoint.go_on.set()
    assert all(isinstance(outcome, Authorized) for outcome in await asyncio.gather(*asking))
    assert isinstance(await scene.asked(bearers[2]), Authorized)


async def test_what_is_remembered_is_bounded(scene, monkeypatch):
    await scene.begin()
    monkeypatch.setattr("ztproxy.identity.exchange.exchanger.MAXIMUM_REMEMBERED", 3)
    bearers = [scene.server.tokens.bearer(sub=f"user-{number}") for number in range(5)]
    for bearer in bearers:
        await scene.asked(bearer)
    exchanger = scene.identity_of_all.exchangers["r"]
    assert len(exchanger._known) == 3 < MAXIMUM_REMEMBERED
    assert exchanger._octets == sum(known.size for known in exchanger._known.values())
    monkeypatch.setattr("ztproxy.identity.exchange.exchanger.MAXIMUM_OCTETS", 1000)
    await scene.asked(bearers[0])
    assert exchanger._octets <= 1000


async def test_a_caller_whose_token_the_issuer_does_not_exchange_is_not_asked_for_again_at_once(scene):
    await scene.begin()
    scene.endpoint.change = denied
    bearer = scene.server.tokens.bearer()
    for _ in range(3):
        refused = await scene.asked(bearer)
        assert (refused.refusal.reason, refused.refusal.status) == (Reason.TOKEN_EXCHANGE_FAILED, 403)
        assert "access_denied" in refused.refusal.cause
        assert refused.refusal.decision is not None
        assert refused.at.token.subject == "alice"
    assert len(scene.endpoint.asked) == 1
    scene.clock.advance(5)
    scene.endpoint.change = lambda answer: answer
    assert isinstance(await scene.asked(bearer), Authorized)


def denied(_):
    raise ExchangeError("access_denied", 403)


async def test_an_issuer_that_is_away_is_come_back_to(scene):
    await scene.begin()
    bearer = scene.server.tokens.bearer()
    assert isinstance(await scene.asked(bearer), Authorized)
    other = scene.server.tokens.bearer(sub="bob")
    await scene.asked(other, route="plain")
    await scene.server.stop()
    assert isinstance(await scene.asked(bearer), Authorized)
    refused = await scene.asked(other)
    assert (refused.refusal.reason, refused.refusal.status) == (Reason.TOKEN_EXCHANGE_FAILED, 503)
    await scene.server.start()
    assert isinstance(await scene.asked(other), Authorized)


@pytest.mark.slow
async def test_an_issuer_that_hangs_is_waited_for_so_long(scene):
    await scene.begin(timeout="50ms")
    scene.server.answers["/token"] = scene.server.hang
    refused = await scene.asked(scene.server.tokens.bearer())
    assert (refused.refusal.status, refused.refusal.cause) == (503, "no answer within 0.05 s")
    scene.server.hold.set()


async def test_whoever_waits_when_the_proxy_closes_is_refused(scene):
    await scene.begin()
    scene.endpoint.go_on.clear()
    asking = asyncio.create_task(scene.asked(scene.server.tokens.bearer()))
    await scene.endpoint.until_asked(1)
    await scene.identity_of_all.exchangers["r"].close()
    scene.endpoint.go_on.set()
    outcome = await asking
    assert (outcome.refusal.status, outcome.refusal.cause) == (503, "the proxy is closing")
    again = await scene.asked(scene.server.tokens.bearer())
    assert again.refusal.status == 503


async def test_a_client_that_the_issuer_does_not_know_is_the_configurations_fault(scene):
    (scene.folder / "secret").write_text("wrong")
    await scene.begin()
    refused = await scene.asked(scene.server.tokens.bearer())
    assert (refused.refusal.status, "invalid_client" in refused.refusal.cause) == (502, True)


async def test_an_issuer_without_a_token_endpoint_is_told(scene):
    await scene.begin(named=False)
    refused = await scene.asked(scene.server.tokens.bearer())
    assert (refused.refusal.status, "names no `token_endpoint`" in refused.refusal.cause) == (502, True)


async def test_a_configured_endpoint_needs_no_metadata(scene):
    await scene.begin(named=False, token_endpoint="/token")
    assert isinstance(await scene.asked(scene.server.tokens.bearer()), Authorized)


async def test_a_certificate_that_cannot_be_used_stops_the_start(scene):
    certificate, key = Authority.new("Clients").issue("gateway").write(scene.folder, "client")
    _, other = Authority.new("Clients").issue("other").write(scene.folder, "other")
    with pytest.raises(IdentityConfigError, match="token_exchange"):
        await scene.begin(client_secret=None, client_certificate=certificate, client_key=other)
    await scene.begin(client_secret=None, client_certificate=certificate, client_key=key)
