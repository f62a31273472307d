"""The parts of a login that decide without asking anybody."""

import pytest

from tests.fakes import PEER
from ztproxy.config.login import Login
from ztproxy.identity.login import just_done, made, transaction
from ztproxy.identity.login.authorization import Denied, code_of, read_query, request_url
from ztproxy.identity.login.context import Context, LoginIssuer, hosts_of
from ztproxy.identity.login.grants import Tokens
from ztproxy.identity.login.interrupted import PLACES_OF_A_SOURCE, _places
from ztproxy.identity.login.navigation import from_this_host, origin_of
from ztproxy.identity.login.once import first_time
from ztproxy.identity.login.returning import asked_for
from ztproxy.identity.metadata import Metadata
from ztproxy.model import Arrived, StepUp, Token
from ztproxy.store.records_memory import MemoryRecords
from ztproxy.store.ring import Ring

ISSUER = "https://login.test"
RING = Ring([b"1" * 32])
LOGIN = {"issuer": ISSUER, "client_id": "z p", "client_authentication": "none"}
STATE = "s" * 43


def arrived(path="/", query="", *, host="app.test", authority=None, fields=(), scheme="https", **more):
    return Arrived(
        request_id="1", wall=100.0, monotonic=1.0, connection=PEER, source="192.0.2.1", method="GET", scheme=scheme,
        host=host, port=443, authority=(authority or host).encode(), path=path, segments=(), query=query,
        has_query=bool(query), fields=fields, unverified_authorization=(), content_length=0, **more,
    )  # fmt: skip


def begun(now=100.0, **more):
    known = {"issuer": ISSUER, "client_id": "z p", "route": "r", "host": "app.test", "returns": "/", "wanted": StepUp()}
    return transaction.begun(**(known | more), now=now)


def context(hosts=frozenset(), **more):
    known = {"issuers": {}, "routes": {}, "sessions": None, "records": MemoryRecords(), "ring": RING, "clock": None}
    return Context(hosts=hosts, **(known | more))


def issuer(**options):
    return LoginIssuer(Login.model_validate(LOGIN | options), None, None, None)


def test_the_request_says_all_that_was_configured():
    login = Login.model_validate(
        LOGIN | {"scopes": ["openid", "a:b"], "prompt": "consent", "parameters": {"kc_idp_hint": "c&d", "uri": "x"}}
    )
    url = request_url(f"{ISSUER}/a?x=1", login, begun(wanted=StepUp(("u:1", "u:2"), 60)), login_hint="a@b")
    from tests.login_server import query_of

    said = query_of(url)
    assert url.startswith(f"{ISSUER}/a?")
    assert {name: said[name] for name in said if name not in ("state", "nonce", "code_challenge")} == {
        "x": "1", "response_type": "code", "client_id": "z p", "scope": "openid a:b", "prompt": "consent",
        "redirect_uri": "https://app.test/.well-known/ztproxy/callback", "code_challenge_method": "S256",
        "max_age": "60", "acr_values": "u:1 u:2", "login_hint": "a@b", "kc_idp_hint": "c&d", "uri": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        "",
        "x",
        "state=",
        f"state={STATE}&state={STATE}",
        f"state={STATE}x",
        f"state={STATE[:-1]}.",
        f"state={STATE}&a=%ff",
        "&".join(f"a{n}=1" for n in range(40)),
        "a=" + "b" * 20_000,
    ],
)
def test_a_query_that_is_no_answer(query):
    assert read_query(query) is None


def test_a_query_that_is_one():
    assert read_query(f"code=a%2Fb&state={STATE}").parameters["code"] == "a/b"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (f"code=c&state={STATE}&iss={ISSUER}", "c"),
        (f"code=c&state={STATE}&iss={ISSUER}/", None),
        (f"code=&state={STATE}&iss={ISSUER}", None),
        (f"code={'c' * 4097}&state={STATE}&iss={ISSUER}", None),
        (f"code=%0A&state={STATE}&iss={ISSUER}", None),
        (f"state={STATE}&iss={ISSUER}", None),
        (f"code=c&state={STATE}", None),
    ],
)
def test_the_code_of_an_answer(said, found):
    metadata = Metadata(ISSUER, authorization_response_iss_parameter_supported=True)
    code = code_of(read_query(said), begun(), metadata)
    assert code == found if found else isinstance(code, Denied)


def test_the_oldest_login_is_dropped():
    cookies, states = (), []
    for number in range(6):
        one = begun(100.0 + number)
        states.append(one.state)
        fields = transaction.remembered(RING, one, cookies, 100.0 + number)
        for _, line in fields:
            name, _, value = line.partition(b";")[0].partition(b"=")
            cookies = tuple(pair for pair in cookies if pair[0] != name) + (((name, value),) if value else ())
    counting = [state for state in states if transaction.recalled(RING, state, "app.test", cookies, 106.0)]
    assert counting == states[-transaction.MOST :]


def test_what_no_browser_keeps_is_not_sent():
    assert transaction.remembered(RING, begun(returns="/" + "x" * 5000), (), 100.0) is None


def test_cookies_that_are_none_of_ours_are_cleared():
    fields = transaction.remembered(RING, begun(), ((b"__Host-ztproxy-id-login-x", b"y"),), 100.0)
    assert fields[1][1].startswith(b"__Host-ztproxy-id-login-x=; ")
    assert b"Max-Age=0" in fields[1][1]


def cookie_of(fields):
    return (tuple(fields[0][1].partition(b";")[0].split(b"=", 1)),)


def test_logins_in_a_row_are_counted_by_kind_and_host():
    done = just_done.Done(ISSUER, StepUp(("a",)), 100.0, 2)
    cookies = cookie_of(just_done.note(RING, "app.test", done))

    def times(host="app.test", issuer=ISSUER, wanted=done.wanted, now=101.0, ring=RING):
        return just_done.times(ring, host, cookies, issuer=issuer, wanted=wanted, now=now)

    assert times() == 2
    assert times(host="b.test") == times(issuer="x") == times(wanted=StepUp()) == times(now=115.0) == 0
    assert times(now=99.0) == times(ring=Ring([b"2" * 32])) == 0
    assert (
        just_done.times(RING, "app.test", ((b"__Host-ztproxy-id-done", b"%%%"),), issuer="", wanted=StepUp(), now=0)
        == 0
    )


@pytest.mark.parametrize(
    ("configured", "asked", "wanted"),
    [
        ({}, None, StepUp()),
        ({"max_age": "1h"}, StepUp((), 60), StepUp((), 60)),
        ({"max_age": "1m"}, StepUp((), 3600), StepUp((), 60)),
        ({"acr_values": ["a"]}, StepUp((), 60), StepUp(("a",), 60)),
        ({"acr_values": ["a"]}, StepUp(("b",)), StepUp(("b",))),
    ],
)
def test_what_is_configured_and_what_the_policy_asks(configured, asked, wanted):
    assert issuer(**configured).wanted(asked) == wanted


@pytest.mark.parametrize(
    ("host", "known"),
    [("app.test", True), ("a.corp.test", True), ("a.b.corp.test", True), ("corp.test", False), ("x.test", False)],
)
def test_on_which_hosts_people_log_in(host, known):
    assert context(frozenset({"app.test", "*.corp.test"})).logs_in_at(arrived(host=host)) is known


def test_hosts_of_routes_without_login_are_none():
    assert hosts_of([]) == frozenset()


def test_a_login_counts_as_it_is_configured_now():
    known = context(issuers={ISSUER: issuer()}, routes={"r": ISSUER})
    assert known.counts("r", ISSUER, "z p") is not None
    assert known.counts("other", ISSUER, "z p") is None
    assert known.counts("r", "https://other.test", "z p") is None
    assert known.counts("r", ISSUER, "other") is None


@pytest.mark.parametrize(
    ("path", "query", "page"),
    [("/x", "", "/x"), ("/x", "a=b", "/x?a=b"), ("/x", "a" * 2000, "/x"), ("/" + "a" * 2000, "", "/")],
)
def test_the_page_that_was_asked_for(path, query, page):
    assert asked_for(arrived(path, query)) == page


@pytest.mark.parametrize(
    ("origin", "site", "ours"),
    [
        (b"https://app.test:8443", None, True),
        (b"https://app.test:8443", b"same-origin", True),
        (b"https://app.test:8443", b"same-site", False),
        (b"https://app.test", None, False),
        (b"https://app.test:8443/", None, False),
        (None, b"same-origin", False),
        (b"null", b"same-origin", False),
    ],
)
def test_what_comes_from_this_host(origin, site, ours):
    fields = [(name, value) for name, value in ((b"origin", origin), (b"sec-fetch-site", site)) if value is not None]
    asked = arrived(authority="app.test:8443", fields=tuple(fields))
    assert origin_of(asked) == "https://app.test:8443"
    assert from_this_host(asked) is ours


def test_two_origins_are_none():
    twice = ((b"origin", b"https://app.test"),) * 2
    assert not from_this_host(arrived(fields=twice))


def test_places_of_a_source_are_few_and_a_network_of_ipv6_is_one_source():
    known = context()
    assert 0 < len(_places(known, "192.0.2.1")) <= PLACES_OF_A_SOURCE
    assert _places(known, "2001:db8::1") == _places(known, "2001:db8::2:3")
    assert _places(known, "2001:db8::1") != _places(known, "2001:db8:1::1")
    assert _places(known, "") == _places(known, "")


async def test_once_is_once_after_the_ring_was_rotated_too():
    known = context()
    assert await first_time(known, b"u", b"x", until=200.0, now=100.0)
    assert not await first_time(known, b"u", b"x", until=200.0, now=100.0)
    rotated = context(records=known.records, ring=Ring([b"2" * 32, b"1" * 32]))
    assert not await first_time(rotated, b"u", b"x", until=200.0, now=100.0)
    assert await first_time(rotated, b"u", b"y", until=200.0, now=100.0)
    assert await first_time(rotated, b"u", b"x", until=300.0, now=200.0)


def test_claims_are_refreshed_before_they_expire_and_only_with_a_refresh_token():
    token = Token(b"", ISSUER, "a", (), {}, "jwt", None, None, 400.0, None)
    assert made.times(Tokens("", "a", None, 600), token, 100.0) == (None, None)
    assert made.times(Tokens("", "a", "r", 600), token, 100.0) == (580.0, 700.0)
    assert made.times(Tokens("", "a", "r", None), token, 100.0) == (340.0, 400.0)
    assert made.times(Tokens("", "a", "r", 1), token, 100.0) == (124.0, 130.0)
    assert made.times(Tokens("", "a", "r", None), None, 100.0) == (124.0, 130.0)
