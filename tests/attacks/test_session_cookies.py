"""A session counts for whom it was begun, where it was begun, until it ends; nothing that is made up counts."""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from msgspec.structs import replace

from tests.sessions import NAME, SessionWorld
from ztproxy.identity.sessions import cookie
from ztproxy.identity.sessions.session import KIND, encode
from ztproxy.model import Identified, Reason

NAVIGATION = ((b"accept", b"text/html"), (b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"))
SCRIPT = ((b"accept", b"*/*"), (b"sec-fetch-mode", b"cors"))


@pytest.fixture
async def world(tmp_path):
    async with SessionWorld(tmp_path) as world:
        yield world


def identifier(value):
    return cookie.value_of(((NAME, value),))


# -- fixation


async def test_a_cookie_known_before_the_login_is_never_the_one_after(world):
    identity = await world.start()
    planted = urlsafe_b64encode(os.urandom(32)).rstrip(b"=")
    after = await world.begin(replacing=identifier(planted))
    assert after != planted
    assert (await world.present(identity, planted)).reason is Reason.LOGIN_REQUIRED
    assert isinstance(await world.present(identity, after), Identified)


async def test_an_attackers_session_is_not_the_victims_after_the_victims_login(world):
    identity = await world.start()
    attackers = await world.begin(world.login(subject="mallory", claims={"sub": "mallory"}))
    victims = await world.begin(replacing=identifier(attackers))
    assert (await world.present(identity, victims)).token.subject == "alice"
    assert (await world.present(identity, attackers)).reason is Reason.LOGIN_REQUIRED


async def test_no_two_logins_get_the_same_identifier(world):
    await world.start()
    assert len({await world.begin() for _ in range(50)}) == 50


# -- made up


def spoiled(value):
    """Values that are near a good one, and none that we gave out."""
    flipped = (b"B" if value.startswith(b"A") else b"A") + value[1:]
    last = value[:-1] + bytes([value[-1] + 1 if value[-1] not in b"9Zz" else value[-1] - 1])
    return [
        (b"", False), (value[:-1], False), (value + b"A", False), (value + b"=", False), (value * 100, False),
        (b'"' + value + b'"', False), (b" " + value[1:], False), (value[:-1] + b"\x00", False), (b"\xff" * 43, False),
        (b"A" * 42 + b"B", False), (last, None), (flipped, True), (urlsafe_b64encode(bytes(32)).rstrip(b"="), True),
    ]  # fmt: skip


async def test_what_is_near_a_good_cookie_is_no_session(world):
    identity = await world.start()
    value = await world.begin()
    await world.present(identity, value)
    for wrong, readable in spoiled(value):
        script = await world.present(identity, wrong, fields=SCRIPT)
        if readable is not None:
            wanted = Reason.LOGIN_REQUIRED if readable else Reason.SESSION_UNREADABLE
            assert script.reason is wanted, wrong
        assert not isinstance(script, Identified), wrong
        found = await identity.sessions.find(
            world.routed(own_cookies=((NAME, wrong),), fields=NAVIGATION).arrived, world.op.url
        )
        assert found is None, "a person is taken to a login, which replaces it"


async def test_another_spelling_of_the_same_octets_is_no_session(world):
    identity = await world.start()
    value = await world.begin()
    octets = urlsafe_b64decode(value + b"=")
    for last in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        other = value[:-1] + bytes([last])
        if other != value and urlsafe_b64decode(other + b"=") == octets:
            assert (await world.present(identity, other, fields=SCRIPT)).reason is Reason.SESSION_UNREADABLE


@pytest.mark.parametrize("second", ["same", "other", "empty", "malformed"])
@pytest.mark.parametrize("first", [True, False])
async def test_of_several_cookies_none_is_chosen(world, first, second):
    identity = await world.start()
    value = await world.begin()
    await world.present(identity, value)
    more = {"same": value, "other": await world.begin(), "empty": b"", "malformed": b"x"}[second]
    both = (value, more) if first else (more, value)
    assert (await world.present(identity, *both, fields=SCRIPT)).reason is Reason.SESSION_UNREADABLE
    notes = {}
    own = tuple((NAME, one) for one in both)
    assert identity.sessions.recall(world.routed(own_cookies=own, notes=notes).arrived, world.op.url) is None


@pytest.mark.parametrize("name", [b"__host-ztproxy-id", b"__HOST-ZTPROXY-ID", b"__Host-Ztproxy-Id"])
async def test_the_name_has_one_spelling(world, name):
    identity = await world.start()
    value = await world.begin()
    for cookies in (((name, value),), ((NAME, value), (name, value)), ((name, b"x"), (NAME, value))):
        refusal = await world.ask(identity, own_cookies=cookies, fields=SCRIPT)
        assert refusal.reason is Reason.SESSION_UNREADABLE


async def test_our_other_cookies_are_not_looked_at(world):
    identity = await world.start()
    value = await world.begin()
    beside = ((NAME + b"-login", b"anything"), (NAME, value), (NAME + b"2", b""))
    assert isinstance(await world.ask(identity, own_cookies=beside), Identified)
    refusal = await world.ask(identity, own_cookies=((NAME + b"-login", value),))
    assert refusal.reason is Reason.LOGIN_REQUIRED


# -- somebody else's, somewhere else


async def test_it_counts_at_the_host_where_it_began_alone(world):
    identity = await world.start(
        routes=[world.route("r", hosts=["r.test", "*.r.test", "other.test"], login=(await op(world)).url)]
    )
    value = await world.begin()
    cookies, notes = ((NAME, value),), {}
    assert isinstance(await world.ask(identity, own_cookies=cookies, notes=notes), Identified)
    for host in ("other.test", "sub.r.test", "r.test.", "t.test"):
        for noted in ({}, notes):
            asked = await world.ask(identity, own_cookies=cookies, notes=noted, host=host)
            assert asked.reason is Reason.LOGIN_REQUIRED, host


async def test_routes_of_a_host_share_the_sessions_of_a_login_and_of_no_other(world):
    first, second = await op(world), await world.issuer()
    issuers = [world.trust(first), world.trust(second)]
    login = [{"issuer": one.url, "client_id": "web", "client_authentication": "none"} for one in (first, second)]
    routes = [
        world.route("r", hosts=["r.test"], paths=["/a"], login=first.url, issuers=[]),
        world.route("s", hosts=["r.test"], paths=["/b"], login=first.url, issuers=[]),
        world.route("t", hosts=["r.test"], paths=["/c"], login=second.url, issuers=[]),
    ]
    world.identity_now = identity = await world.build(world.settings(issuers, login=login, routes=routes))
    value = await world.begin()
    cookies, notes = ((NAME, value),), {}
    for route, counts in (("r", True), ("s", True), ("t", False), ("r", True)):
        asked = await world.ask(identity, own_cookies=cookies, notes=notes, route=route, host="r.test")
        assert isinstance(asked, Identified) == counts, route


async def test_what_began_for_another_client_does_not_count(world):
    identity = await world.start()
    value = await world.begin(world.login(client_id="another"))
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED
    value = await world.begin(world.login(issuer="https://nobody.test"))
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED


async def op(world):
    world.op = await world.issuer()
    return world.op


# -- after the end


async def test_an_ended_session_cannot_be_replayed_anywhere(world):
    storage = {"storage": f"sqlite:{world.folder}/var/sessions.db"}
    here, there = await world.start(sessions=storage), await world.start(sessions=storage)
    value = await world.begin()
    for one in (here, there):
        await world.present(one, value)
    await here.sessions.end(identifier(value), world.clock.wall)
    world.clock.advance(1.0)
    after_a_restart = await world.start(sessions=storage)
    for one in (here, there, after_a_restart):
        assert (await world.present(one, value)).reason is Reason.LOGIN_REQUIRED


# -- who writes to the store


async def test_a_record_that_is_put_elsewhere_is_no_session(world):
    identity = await world.start()
    alices, mallorys = await world.begin(), await world.begin(world.login(subject="mallory", claims={"sub": "mallory"}))
    kept = identity.sessions.records._held.records._kept
    key_of = identity.sessions.sealed.keys
    alice, mallory = (kept[key_of(identifier(one))[0]] for one in (alices, mallorys))
    mallory.record = replace(mallory.record, value=alice.record.value)
    assert (await world.present(identity, mallorys)).reason is Reason.LOGIN_REQUIRED
    assert (await world.present(identity, alices)).token.subject == "alice"


async def test_a_record_that_is_made_up_or_sealed_for_something_else_is_no_session(world):
    identity = await world.start()
    sessions, now = identity.sessions, world.clock.wall
    plain = encode(world.login())
    for sealed in (
        plain,
        b"",
        sessions.ring.seal("login", b"", plain),
        sessions.ring.seal("session", b"", plain),
        sessions.ring.seal("session", KIND, plain),
    ):
        value = urlsafe_b64encode(os.urandom(32)).rstrip(b"=")
        await sessions.records.add(sessions.sealed.keys(identifier(value))[0], sealed, now + 100, now)
        assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED


async def test_without_its_key_in_the_ring_a_session_is_over(world):
    storage = {"storage": f"sqlite:{world.folder}/var/sessions.db"}
    before = await world.start(sessions=storage)
    value = await world.begin()
    ring = world.folder / "var/session.keys"
    old = ring.read_bytes()
    from ztproxy.store.ring import rotate

    rotate(ring)
    rotated = await world.start(sessions=storage)
    assert isinstance(await world.present(rotated, value), Identified), "a key before the first still opens"
    newer = await world.begin()
    ring.write_bytes(b"".join(ring.read_bytes().splitlines(keepends=True)[:2]))
    removed = await world.start(sessions=storage)
    assert (await world.present(removed, value)).reason is Reason.LOGIN_REQUIRED
    assert isinstance(await world.present(removed, newer), Identified)
    ring.write_bytes(old)
    forged = await world.start(sessions=storage)
    assert (await world.present(forged, newer)).reason is Reason.LOGIN_REQUIRED
    assert isinstance(await world.present(before, value), Identified)
