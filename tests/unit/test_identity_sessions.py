import hashlib

import pytest

from tests.fakes import AwayRecords
from tests.pki import Authority
from tests.sessions import NAME, SessionWorld, cookie_of
from ztproxy.identity.certificates.description import describe
from ztproxy.identity.sessions import cookie
from ztproxy.identity.sessions.remembered import Remembered
from ztproxy.identity.sessions.service import FRESH
from ztproxy.identity.sessions.session import KIND, MAXIMUM_SESSION
from ztproxy.identity.sessions.streams import UNSURE
from ztproxy.model import Identified, Reason, Refusal, Right


@pytest.fixture
async def world(tmp_path):
    async with SessionWorld(tmp_path) as world:
        yield world


def right(identified, route="r"):
    return Right("127.0.0.1:8080", f"{route}.test", route, None, identified.token)


async def test_a_session_says_who_asks(world):
    identity = await world.start()
    identified = await world.present(identity, await world.begin())
    token = identified.token
    assert (token.kind, token.issuer, token.subject, token.audience) == ("session", world.op.url, "alice", ("web",))
    assert token.claims["groups"] == ["staff"]
    assert token.expires_at == world.clock.wall + 43200
    assert (token.issued_at, token.key_id, token.bound_to) == (world.clock.wall, "key-1", None)


async def test_its_name_gives_nothing_away_and_stays(world):
    identity = await world.start()
    value = await world.begin()
    names = {(await world.present(identity, value)).token.session for _ in range(2)}
    other = (await world.present(identity, await world.begin())).token.session
    assert len(names) == 1
    assert names != {other}
    (name,) = names
    assert len(name) == 16
    assert await world.present(identity, name.encode()) != name


async def test_the_cookie_is_for_this_host_alone_and_out_of_reach_of_scripts(world):
    identity = await world.start()
    ((name, value),) = await identity.sessions.begin(world.login(), None, world.clock.wall)
    cookie, *attributes = value.split(b"; ")
    assert name == b"set-cookie"
    assert cookie.startswith(NAME + b"=")
    assert set(attributes) == {b"Path=/", b"Secure", b"HttpOnly", b"SameSite=Lax"}
    assert len(cookie.partition(b"=")[2]) == 43
    ((name, value),) = identity.sessions.cleared()
    assert value == NAME + b"=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


async def test_one_that_was_looked_up_needs_no_suspension(world):
    identity = await world.start()
    cookies = ((NAME, await world.begin()),)
    notes = {}
    await world.ask(identity, own_cookies=cookies, notes=notes)
    with pytest.raises(StopIteration) as ended:
        identity.identify(world.routed(own_cookies=cookies, notes=notes)).send(None)
    assert isinstance(ended.value.value, Identified)
    assert identity.sessions.recall(world.routed(own_cookies=cookies, notes=notes).arrived, world.op.url)
    assert identity.sessions.recall(world.routed(own_cookies=cookies).arrived, world.op.url), "without a note too"


async def test_it_is_over_when_it_is_not_used(world):
    identity = await world.start(sessions={"idle": "10m"})
    value = await world.begin()
    world.clock.advance(599)
    assert isinstance(await world.present(identity, value), Identified)
    await identity.sessions.upkeep.settled()
    world.clock.advance(599)
    assert isinstance(await world.present(identity, value), Identified), "its use was written back"
    await identity.sessions.upkeep.settled()
    world.clock.advance(600)
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED


async def test_it_is_over_at_its_end_however_much_it_is_used(world):
    identity = await world.start(sessions={"idle": "1h", "lifetime": "2h"})
    value = await world.begin()
    for _ in range(7):
        world.clock.advance(1000)
        assert isinstance(await world.present(identity, value), Identified)
        await identity.sessions.upkeep.settled()
    world.clock.advance(200)
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED


async def test_a_remembered_one_ends_to_the_second(world):
    identity = await world.start(sessions={"idle": "1m", "lifetime": "1m"})
    cookies, notes = ((NAME, await world.begin()),), {}
    world.clock.advance(59.5)
    assert isinstance(await world.ask(identity, own_cookies=cookies, notes=notes), Identified)
    world.clock.advance(0.5)
    assert isinstance(await world.ask(identity, own_cookies=cookies, notes=notes), Refusal)


async def test_what_was_agreed_on_at_the_login_may_end_it_earlier(world):
    identity = await world.start()
    value = await world.begin(world.login(ends_at=world.clock.wall + 60))
    world.clock.advance(60)
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED


async def test_use_is_written_back_now_and_then_and_not_each_time(world):
    identity = await world.start(sessions={"idle": "10m"})
    value = await world.begin()
    key = identity.sessions.sealed.keys(cookie.value_of(((NAME, value),)))[0]
    version = (await identity.sessions.records.get(key, world.clock.wall)).version
    for _ in range(61):
        await world.present(identity, value)
        await identity.sessions.upkeep.settled()
        world.clock.advance(1)
    assert (await identity.sessions.records.get(key, world.clock.wall)).version == version + 1


async def test_an_ended_one_counts_no_more_at_once(world):
    identity = await world.start()
    value = await world.begin()
    cookies, notes = ((NAME, value),), {}
    for _ in range(2):
        await world.ask(identity, own_cookies=cookies, notes=notes)
    assert notes
    ended = await identity.sessions.end(cookie.value_of(cookies), world.clock.wall)
    assert ended.subject == "alice"
    for noted in (notes, {}):
        assert (await world.ask(identity, own_cookies=cookies, notes=noted)).reason is Reason.LOGIN_REQUIRED
    assert await identity.sessions.end(cookie.value_of(cookies), world.clock.wall) is None
    assert identity.sessions.ended == {"logout": 1}


async def test_one_that_another_process_ended_counts_no_more_within_a_second(world):
    storage = {"storage": f"sqlite:{world.folder}/var/sessions.db"}
    identity, other = await world.start(sessions=storage), await world.start(sessions=storage)
    value = await world.begin()
    for one in (identity, other):
        assert isinstance(await world.present(one, value), Identified)
    await other.sessions.end(cookie.value_of(((NAME, value),)), world.clock.wall)
    world.clock.advance(1.0)
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED


async def test_what_is_told_of_ended_sessions_elsewhere_counts_at_once(world):
    storage = {"storage": f"sqlite:{world.folder}/var/sessions.db"}
    identity, other = await world.start(sessions=storage), await world.start(sessions=storage)
    value = await world.begin()
    await world.present(identity, value)
    await other.sessions.end(cookie.value_of(((NAME, value),)), world.clock.wall)
    identity.sessions.doubt()
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED


async def test_one_that_ends_while_it_is_looked_up_is_not_remembered(world):
    identity = await world.start()
    value = await world.begin()
    identifier = cookie.value_of(((NAME, value),))
    find = identity.sessions.sealed.find

    async def slowly(keys, now):
        found = await find(keys, now)
        await identity.sessions.end(identifier, now)
        return found

    identity.sessions.sealed.find = slowly
    await world.present(identity, value)
    identity.sessions.sealed.find = find
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED


async def test_a_new_login_ends_the_session_before_and_has_another_identifier(world):
    identity = await world.start()
    before = await world.begin()
    await world.present(identity, before)
    after = await world.begin(replacing=cookie.value_of(((NAME, before),)))
    assert after != before
    assert (await world.present(identity, before)).reason is Reason.LOGIN_REQUIRED
    assert isinstance(await world.present(identity, after), Identified)
    assert identity.sessions.ended == {"replaced": 1}


async def test_an_issuer_ends_its_sessions(world):
    identity = await world.start()
    sessions, now = identity.sessions, world.clock.wall
    one, two, other = [
        await world.begin(world.login(op_session=sid, subject=subject, claims={"sub": subject}))
        for sid, subject in (("op-1", "alice"), ("op-2", "alice"), ("op-3", "bob"))
    ]
    url = world.op.url
    assert await sessions.end_owned(url, op_session="op-2", subject="bob", now=now) == 0, "both have to be its"
    assert await sessions.end_owned("https://other.test", op_session="op-1", subject=None, now=now) == 0
    assert await sessions.end_owned(url, op_session=None, subject=None, now=now) == 0
    assert await sessions.end_owned(url, op_session="op-1", subject="alice", now=now) == 1
    assert (await world.present(identity, one)).reason is Reason.LOGIN_REQUIRED
    assert isinstance(await world.present(identity, two), Identified)
    await world.begin()
    assert await sessions.end_owned(url, op_session=None, subject="alice", now=now) == 2
    assert (await world.present(identity, two)).reason is Reason.LOGIN_REQUIRED
    assert isinstance(await world.present(identity, other), Identified)
    assert sessions.ended == {"back-channel": 3}


async def test_one_is_ended_by_its_name(world):
    identity = await world.start()
    value = await world.begin()
    name = (await world.present(identity, value)).token.session
    assert await identity.sessions.end_named("another", world.clock.wall) == 0
    assert await identity.sessions.end_named(name, world.clock.wall) == 1
    assert (await world.present(identity, value)).reason is Reason.LOGIN_REQUIRED


async def test_explicit_credentials_go_before_ambient_ones(world):
    identity = await world.start()
    value = await world.begin()
    bearer = world.op.tokens.bearer(sub="carol")
    identified = await world.ask(identity, bearer, own_cookies=((NAME, value),))
    assert (identified.token.kind, identified.token.subject) == ("jwt", "carol")
    for wrong in (b"Bearer nonsense", b"Basic YTpi"):
        refusal = await world.ask(identity, wrong, own_cookies=((NAME, value),))
        assert refusal.status == 401, "a credential that does not count is not made good for by a cookie"


async def test_where_no_tokens_count_only_sessions_do(world):
    identity = await world.start(routes=[world.route(login=(await _op(world)).url, issuers=[])])
    value = await world.begin()
    bearer = world.op.tokens.bearer()
    assert (await world.ask(identity, bearer)).reason is Reason.LOGIN_REQUIRED
    assert (await world.ask(identity)).reason is Reason.LOGIN_REQUIRED
    assert (await world.ask(identity, bearer, own_cookies=((NAME, value),))).token.kind == "session"


async def _op(world):
    world.op = await world.issuer()
    return world.op


async def test_a_route_without_login_takes_no_cookie(world):
    op = await _op(world)
    identity = await world.start(routes=[world.route(login=op.url), world.route("bare", require=[])])
    value = await world.begin(world.login(host="bare.test"))
    identified = await world.present(identity, value, route="bare")
    assert identified.token is None


async def test_where_nothing_is_demanded_a_session_still_says_who_asks(world):
    op = await _op(world)
    identity = await world.start(routes=[world.route(login=op.url, require=[])])
    assert (await world.present(identity, await world.begin())).token.subject == "alice"
    assert (await world.present(identity)).token is None


async def test_a_request_in_plaintext_has_no_session(world):
    identity = await world.start()
    value = await world.begin()
    assert (await world.present(identity, value, scheme="http")).reason is Reason.LOGIN_REQUIRED
    await world.present(identity, value)
    assert (await world.present(identity, value, scheme="http")).reason is Reason.LOGIN_REQUIRED


async def test_a_login_that_is_too_much_to_keep_is_refused(world):
    identity = await world.start()
    session = world.login(claims={"groups": ["x" * 100] * 700})
    refusal = await identity.sessions.begin(session, None, world.clock.wall)
    assert refusal.reason is Reason.SESSION_TOO_LARGE
    assert str(MAXIMUM_SESSION) in refusal.cause


async def test_claims_of_any_json_are_kept(world):
    identity = await world.start()
    claims = {"sub": "alice", "big": 2**70, "nested": [{"a": None, "é": 1.5}], "": False}
    assert (await world.present(identity, await world.begin(world.login(claims=claims)))).token.claims == claims


async def test_when_there_is_no_room_nobody_is_put_out(world):
    identity = await world.start(sessions={"maximum": 16})
    values = [await world.begin() for _ in range(16)]
    refusal = await identity.sessions.begin(world.login(), None, world.clock.wall)
    assert refusal.reason is Reason.SESSIONS_FULL
    assert all([isinstance(await world.present(identity, value), Identified) for value in values])
    again = await world.begin(replacing=cookie.value_of(((NAME, values[0]),)))
    assert isinstance(await world.present(identity, again), Identified), "who has one may change it"


async def test_a_store_that_is_away_refuses_sessions_and_nothing_else(world):
    identity = await world.start()
    value = await world.begin()
    await world.present(identity, value)
    store, identity.sessions.records._held.records = identity.sessions.records._held.records, AwayRecords()
    assert isinstance(await world.present(identity, value), Identified), "what was known a moment ago still is"
    world.clock.advance(FRESH)
    refusal = await world.present(identity, value)
    assert (refusal.reason, refusal.status) == (Reason.SESSION_STORE_UNAVAILABLE, 503)
    assert refusal.cause == "away"
    assert isinstance(await world.ask(identity, world.op.tokens.bearer()), Identified)
    sessions, now = identity.sessions, world.clock.wall
    for told in (
        await sessions.begin(world.login(), None, now),
        await sessions.end(cookie.value_of(((NAME, value),)), now),
        await sessions.end_owned(world.op.url, op_session="op-1", subject=None, now=now),
    ):
        assert told.reason is Reason.SESSION_STORE_UNAVAILABLE
    identity.sessions.records._held.records = store
    assert isinstance(await world.present(identity, value), Identified)


async def test_sessions_go_on_over_a_reload(world):
    before = await world.start()
    value = await world.begin()
    after = await world.start(sessions={"idle": "30m"})
    after.take_over(before)
    after.take_over(before)
    await before.close()
    assert isinstance(await world.present(after, value), Identified)
    await after.close()


async def test_a_reload_that_is_given_up_takes_nothing_with_it(world):
    before = await world.start()
    value = await world.begin()
    given_up = await world.start()
    given_up.take_over(before)
    await given_up.close()
    world.clock.advance(FRESH)
    assert isinstance(await world.present(before, value), Identified)


async def test_what_was_noted_under_another_configuration_does_not_count(world):
    before = await world.start()
    cookies, notes = ((NAME, await world.begin()),), {}
    for _ in range(2):
        await world.ask(before, own_cookies=cookies, notes=notes)
    assert notes
    after = await world.start(login=[{"issuer": world.op.url, "client_id": "renamed", "client_authentication": "none"}])
    after.take_over(before)
    assert (await world.ask(after, own_cookies=cookies, notes=notes)).reason is Reason.LOGIN_REQUIRED


async def test_one_process_remembers_a_bounded_number(world):
    identity = await world.start()
    remembered = identity.sessions._remembered = Remembered(4)
    values = [await world.begin() for _ in range(9)]
    for value in values:
        await world.present(identity, value)
    assert len(remembered) == len(remembered._by_name) == 4
    assert all([isinstance(await world.present(identity, value), Identified) for value in values])


# -- open streams


async def test_a_stream_ends_with_its_session(world):
    identity = await world.start()
    value = await world.begin()
    rights = [right(await world.present(identity, value))]
    assert await identity.rejudge(rights, world.clock.wall) == [None]
    await identity.sessions.end(cookie.value_of(((NAME, value),)), world.clock.wall)
    (refusal,) = await identity.rejudge(rights, world.clock.wall)
    assert refusal.reason is Reason.SESSION_ENDED


async def test_a_stream_ends_with_a_session_that_nobody_remembers(world):
    identity = await world.start()
    value = await world.begin()
    rights = [right(await world.present(identity, value))]
    identity.sessions._remembered = Remembered()
    assert await identity.rejudge(rights, world.clock.wall) == [None]
    world.clock.advance(43200)
    (refusal,) = await identity.rejudge(rights, world.clock.wall)
    assert refusal.reason is Reason.SESSION_ENDED


async def test_an_open_stream_is_use_until_the_session_ends(world):
    identity = await world.start(sessions={"idle": "10m", "lifetime": "1h"})
    value = await world.begin()
    rights = [right(await world.present(identity, value))]
    for _ in range(11):
        world.clock.advance(300)
        assert await identity.rejudge(rights, world.clock.wall) == [None]
        await identity.sessions.upkeep.settled()
    world.clock.advance(300)
    (refusal,) = await identity.rejudge(rights, world.clock.wall)
    assert refusal.reason is Reason.SESSION_ENDED


async def test_a_stream_ends_where_the_route_has_another_login_now(world):
    identity = await world.start()
    rights = [right(await world.present(identity, await world.begin()))]
    after = await world.start(routes=[world.route()])
    after.take_over(identity)
    (refusal,) = await after.rejudge(rights, world.clock.wall)
    assert refusal.reason is Reason.SESSION_ENDED


async def test_streams_outlive_a_store_that_is_away_for_a_moment(world):
    identity = await world.start()
    rights = [right(await world.present(identity, await world.begin()))]
    world.clock.advance(FRESH)
    store, identity.sessions.records._held.records = identity.sessions.records._held.records, AwayRecords()
    assert await identity.rejudge(rights, world.clock.wall) == [None]
    world.clock.advance(UNSURE - 1)
    assert await identity.rejudge(rights, world.clock.wall) == [None]
    world.clock.advance(1)
    (refusal,) = await identity.rejudge(rights, world.clock.wall)
    assert refusal.reason is Reason.SESSION_STORE_UNAVAILABLE
    identity.sessions.records._held.records = store
    assert await identity.rejudge(rights, world.clock.wall) == [None]


# -- the client certificate


@pytest.fixture(scope="module")
def certificates():
    ca = Authority.new("Clients")
    return [describe((ca.issue(name).der, ca.der)) for name in ("alice", "mallory")]


async def test_a_session_is_bound_to_its_certificate_where_that_is_configured(world, certificates):
    alice, mallory = certificates
    identity = await world.start(sessions={"bind_certificate": True})
    sessions = identity.sessions
    arrived = world.routed(certificate=alice).arrived
    assert sessions.binding(arrived) == alice.fingerprint
    fields = await sessions.begin(world.login(certificate=sessions.binding(arrived)), None, world.clock.wall)
    cookies = ((NAME, cookie_of(fields)),)

    async def found(certificate, notes):
        return await sessions.find(
            world.routed(certificate=certificate, own_cookies=cookies, notes=notes).arrived, None
        )

    notes = {}
    assert (await found(alice, notes)).token.bound_to == alice.fingerprint
    for other in (mallory, None, Refusal(Reason.CERTIFICATE_UNSUITABLE)):
        assert await found(other, {}) is None
        arrived = world.routed(certificate=other, own_cookies=cookies, notes=notes).arrived
        assert sessions.recall(arrived, world.op.url) is None


async def test_a_session_that_began_without_a_certificate_counts_with_none_alone(world, certificates):
    identity = await world.start(sessions={"bind_certificate": True})
    cookies = ((NAME, await world.begin()),)
    find = identity.sessions.find
    assert await find(world.routed(own_cookies=cookies).arrived, None) is not None
    assert await find(world.routed(certificate=certificates[0], own_cookies=cookies).arrived, None) is None


async def test_what_is_stored_is_neither_the_identifier_nor_readable(world):
    identity = await world.start()
    value = await world.begin()
    kept = identity.sessions.records._held.records._kept
    identifier = cookie.value_of(((NAME, value),))
    ((key, record),) = kept.items()
    everything = key + record.record.value + b"".join(record.owners)
    for secret in (identifier, value, hashlib.sha256(identifier).digest(), b"alice", b"staff", b"op-1", b"id.token"):
        assert secret not in everything
    assert key.startswith(KIND)
