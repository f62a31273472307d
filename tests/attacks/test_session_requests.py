"""What a session's cookie alone may do: nothing that a page of another site causes."""

import pytest

from tests.sessions import NAME, SessionWorld
from ztproxy.model import Identified, Reason

OWN = (b"origin", b"https://r.test")
EVIL = (b"origin", b"https://evil.test")
SAME, CROSS = (b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"cross-site")


@pytest.fixture
async def world(tmp_path):
    async with SessionWorld(tmp_path) as world:
        yield world


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize(
    ("asked", "passes"),
    [
        ({"method": "GET", "fields": (CROSS,)}, True),
        ({"method": "GET"}, True),
        ({"method": "POST", "fields": (OWN, SAME)}, True),
        ({"method": "POST", "fields": (OWN,)}, True),
        ({"method": "POST", "fields": (SAME,)}, True),
        ({"method": "POST", "fields": (EVIL, CROSS)}, False),
        ({"method": "POST", "fields": (EVIL,)}, False),
        ({"method": "POST", "fields": (CROSS,)}, False),
        ({"method": "POST", "fields": ((b"origin", b"null"),)}, False),
        ({"method": "POST", "fields": (OWN, CROSS)}, False),
        ({"method": "POST"}, False),
        ({"method": "DELETE"}, False),
        ({"method": "GET", "upgrade": "websocket", "fields": (OWN,)}, True),
        ({"method": "GET", "upgrade": "websocket", "fields": (EVIL,)}, False),
        ({"method": "GET", "upgrade": "websocket"}, False),
    ],
)
async def test_another_sites_page_changes_nothing_in_its_readers_name(world, asked, passes, noted):
    identity = await world.start()
    cookies, notes = ((NAME, await world.begin()),), {}
    for _ in range(2 * noted):
        await world.ask(identity, own_cookies=cookies, notes=notes)
    outcome = await world.ask(identity, own_cookies=cookies, notes=notes, **asked)
    assert isinstance(outcome, Identified) == passes
    if not passes:
        assert (outcome.reason, outcome.status) == (Reason.CROSS_SITE_REFUSED, 403)


async def test_a_token_is_shown_on_purpose_so_any_page_that_has_it_may(world):
    identity = await world.start()
    cookies = ((NAME, await world.begin()),)
    bearer = world.op.tokens.bearer()
    assert isinstance(await world.ask(identity, bearer, own_cookies=cookies, method="POST", fields=(EVIL,)), Identified)


async def test_pages_that_cors_names_with_credentials_may_and_no_others(world):
    world.op = await world.issuer()
    cors = {"origins": ["https://app.test"], "credentials": True}
    identity = await world.start(routes=[world.route(login=world.op.url, cors=cors)])
    value = await world.begin()
    named = await world.present(identity, value, method="POST", fields=((b"origin", b"https://app.test"), CROSS))
    assert isinstance(named, Identified)
    other = await world.present(identity, value, method="POST", fields=(EVIL, CROSS))
    assert other.reason is Reason.CROSS_SITE_REFUSED


async def test_where_nothing_is_demanded_the_cookie_still_does_not_count_for_others(world):
    world.op = await world.issuer()
    identity = await world.start(routes=[world.route(login=world.op.url, require=[])])
    outcome = await world.present(identity, await world.begin(), method="POST", fields=(EVIL,))
    assert outcome.reason is Reason.CROSS_SITE_REFUSED
