import asyncio

import pytest

from tests.issuer_server import World
from tests.tokens import TokenIssuer, confirmation
from ztproxy.model import Identified, Reason, Refusal


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


def challenge(refusal):
    return dict(refusal.fields).get(b"www-authenticate")


async def test_a_good_token_says_who_asks(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    identified = await world.ask(identity, issuer.tokens.bearer(groups=["staff"]))
    assert isinstance(identified, Identified)
    token = identified.token
    assert (token.issuer, token.subject, token.audience, token.kind) == (issuer.url, "alice", ("ztproxy",), "jwt")
    assert token.claims["groups"] == ["staff"]
    assert token.key_id == "key-1"
    assert token.expires_at == world.clock.wall + 3600


async def test_without_a_token_a_route_that_requires_one_asks_for_it(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    for authorization in ((), (b"Basic YTpi",)):
        refusal = await world.ask(identity, *authorization)
        assert refusal.reason is Reason.TOKEN_MISSING
        assert challenge(refusal) == b'Bearer realm="ztproxy"'


async def test_a_wrong_token_is_challenged_with_its_reason(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    refusal = await world.ask(identity, b"Bearer nonsense")
    assert refusal.reason is Reason.TOKEN_MALFORMED
    assert challenge(refusal) == (
        b'Bearer realm="ztproxy", error="invalid_token", error_description="The token is malformed."'
    )


async def test_a_remembered_token_needs_no_suspension(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    bearer = issuer.tokens.bearer()
    await world.ask(identity, bearer)
    with pytest.raises(StopIteration) as ended:
        identity.identify(world.routed(bearer)).send(None)
    assert isinstance(ended.value.value, Identified)


async def test_a_bound_token_is_checked_on_every_use(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    bearer = issuer.tokens.bearer(cnf=confirmation(b"another certificate"))
    for _ in range(2):
        refusal = await world.ask(identity, bearer)
        assert refusal.reason is Reason.TOKEN_BINDING_MISMATCH


async def test_an_unfit_certificate_is_refused_where_none_is_demanded(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    unreadable = Refusal(Reason.CERTIFICATE_UNSUITABLE)
    assert await world.ask(identity, issuer.tokens.bearer(), certificate=unreadable) is unreadable


async def test_an_issuer_that_does_not_count_here_is_not_asked(world):
    here, elsewhere = await world.issuer(), await world.issuer()
    sections = [world.trust(here), world.trust(elsewhere)]
    routes = [world.route("r", issuers=[here.url]), world.route("s", issuers=[elsewhere.url])]
    identity = await world.build(world.settings(sections, routes=routes), started=False)
    refusal = await world.ask(identity, elsewhere.tokens.bearer())
    assert refusal.reason is Reason.TOKEN_ISSUER_UNKNOWN
    assert elsewhere.asked == []
    # nor does it count here once it is remembered from another route
    bearer = elsewhere.tokens.bearer()
    assert isinstance(await world.ask(identity, bearer, route="s"), Identified)
    refusal = await world.ask(identity, bearer)
    assert refusal.reason is Reason.TOKEN_ISSUER_UNKNOWN


async def test_a_token_where_none_counts_is_not_looked_at(world):
    issuer = await world.issuer()
    settings = world.settings([world.trust(issuer)], routes=[world.route(issuers=[], require=[])])
    identity = await world.build(settings)
    identified = await world.ask(identity, b"Bearer nonsense")
    assert identified.token is None


async def test_an_optional_token_must_hold_when_it_is_there(world):
    issuer = await world.issuer()
    settings = world.settings([world.trust(issuer)], routes=[world.route(require=[])])
    identity = await world.build(settings)
    assert (await world.ask(identity)).token is None
    assert (await world.ask(identity, issuer.tokens.bearer())).token.subject == "alice"
    refusal = await world.ask(identity, issuer.tokens.bearer(exp=int(world.clock.wall) - 100))
    assert refusal.reason is Reason.TOKEN_EXPIRED


async def test_two_requests_share_one_first_fetch_and_one_may_leave(world):
    issuer = await world.issuer()
    held = asyncio.Event()

    async def wait(request):
        await held.wait()
        del issuer.answers[request.path]
        return await issuer._handle(request)

    issuer.answers["/keys"] = wait
    identity = await world.identity([issuer], started=False)
    leaving = asyncio.ensure_future(world.ask(identity, issuer.tokens.bearer()))
    staying = asyncio.ensure_future(world.ask(identity, issuer.tokens.bearer()))
    while "/keys" not in issuer.asked:
        await asyncio.sleep(0)
    leaving.cancel()
    held.set()
    assert isinstance(await staying, Identified)
    assert issuer.asked.count("/.well-known/openid-configuration") == 1
    assert leaving.cancelled()


async def test_another_issuers_key_does_not_count(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer])
    forger = TokenIssuer(issuer.url, algorithm="ES256", now=lambda: world.clock.wall)
    refusal = await world.ask(identity, forger.bearer())
    assert refusal.reason is Reason.TOKEN_SIGNATURE_INVALID
