"""What decisions are remembered under: all that is looked at, apart, and nothing else."""

import msgspec
import pytest

from ztproxy.model import Refusal, Tls
from ztproxy.policy.key import key_of
from ztproxy.policy.reference import example
from ztproxy.policy.shared import Shared

replace = msgspec.structs.replace
WHOLE = example()
CONNECTION = WHOLE.arrived.connection


def keys(*places, clock=None):
    seen = frozenset(places)
    return key_of(seen, "rev", Shared(seen), clock)


def arrived(**changes):
    return replace(WHOLE, arrived=replace(WHOLE.arrived, **changes))


def connected(**changes):
    return arrived(connection=replace(CONNECTION, **changes))


def token(**changes):
    return replace(WHOLE, token=replace(WHOLE.token, digest=repr(changes).encode(), **changes))


def certificate(**changes):
    return replace(WHOLE, certificate=replace(WHOLE.certificate, **changes))


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (("request", "id"), arrived(request_id="x")),
        (("request", "method"), arrived(method="POST")),
        (("request", "scheme"), arrived(scheme="http")),
        (("request", "host"), arrived(host="x.example")),
        (("request", "port"), arrived(port=1)),
        (("request", "path"), arrived(path="/x")),
        (("request", "segments"), arrived(segments=("x",))),
        (("request", "query"), arrived(query="x=1")),
        (("request", "query", "tag"), arrived(query="view=full&tag=%C3%BCber&tag=new+ones")),
        (("request", "headers"), arrived(fields=((b"accept", b"x"),))),
        (("request", "headers", "accept"), arrived(fields=((b"accept", b"x"),))),
        (("request", "route"), replace(WHOLE, route="x")),
        (("request", "protocol"), arrived(protocol="HTTP/1.0")),
        (("source", "address"), arrived(source="192.0.2.1")),
        (("source", "port"), arrived(source="192.0.2.1")),
        (("source", "port"), connected(peer_port=1)),
        (("source", "peer"), connected(peer="192.0.2.1")),
        (("tls",), connected(tls=None)),
        (("tls", "server_name"), connected(tls=Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384", None))),
        (("tls", "server_name"), connected(tls=None)),
        (("certificate", "revocation"), certificate(revocation="unchecked")),
        (("certificate", "spiffe_id"), certificate(fingerprint="x", spiffe_id=None)),
        (("certificate",), replace(WHOLE, certificate=None)),
        (("token", "issuer"), token(issuer="https://x")),
        (("token", "claims", "n"), token(claims={"n": 1})),
        (("token",), replace(WHOLE, token=None)),
        ((), arrived(request_id="x")),
        (("request",), arrived(method="POST")),
        (("request", "method", "below"), arrived(method="POST")),
    ],
)
def test_what_is_looked_at_tells_keys_apart_and_what_is_not_does_not(place, other):
    key = keys(place)
    assert key(WHOLE) == key(WHOLE)
    assert hash(key(WHOLE)) == hash(key(WHOLE))
    assert key(WHOLE) != key(other)
    if other.route == WHOLE.route:
        unread = keys(("request", "nothing"), ("nothing",))
        assert unread(WHOLE) == unread(other)


VALUES = [
    1,
    1.0,
    True,
    "1",
    None,
    0,
    0.0,
    -0.0,
    False,
    "",
    [],
    {},
    [1],
    [1.0],
    [True],
    {"n": 1},
    {"n": 1.0},
    1e16,
    10**16,
]


def test_claims_that_python_confuses_are_kept_apart():
    key = keys(("token", "claims", "n"))
    found = [key(token(claims=claims)) for claims in ({}, *({"n": value} for value in VALUES))]
    assert len(set(found)) == len(VALUES) + 1


def test_tokens_that_say_the_same_where_it_is_looked_at_are_one_question():
    key = keys(("token", "claims", "groups"))
    assert key(token(claims={"groups": ["a"], "jti": "1"})) == key(token(claims={"groups": ["a"], "jti": "2"}))


def test_the_same_digest_is_not_the_same_token():
    key = keys(("token", "subject"))
    other = replace(WHOLE, token=replace(WHOLE.token, subject="mallory"))
    assert key(WHOLE) != key(other)


def test_fields_and_parameters_that_are_not_looked_at_make_no_difference():
    key = keys(("request", "headers", "x-role"), ("request", "query", "view"))
    assert key(arrived(query="view=a&p=1", fields=((b"x-role", b"r"), (b"p", b"1")))) == key(
        arrived(query="p=2&view=a", fields=((b"p", b"2"), (b"x-role", b"r")))
    )


@pytest.mark.parametrize("place", [("request", "headers"), ("request", "headers", "cookie"), ("request", "query")])
def test_no_key_holds_a_credential(place):
    found = keys(place)(arrived(query="access_token=hush", fields=((b"cookie", b"hush"),)))
    assert "hush" not in repr(found)


def test_a_query_that_cannot_be_read_has_no_key():
    for places in ((), (("request", "query"),), (("request", "query", "q"),)):
        assert keys(*places)(arrived(query="q=%")) is None


def test_claims_that_json_cannot_say_are_in_no_key_that_another_token_has():
    key = keys(("token", "claims", "n"))
    found = key(token(claims={"n": float("nan")}))
    assert any(isinstance(part, Refusal) for part in found)


def test_the_clock_is_in_it_where_it_is_read():
    key = keys(clock=int)
    assert key(arrived(wall=1.0)) == key(arrived(wall=1.9)) != key(arrived(wall=2.0))


@pytest.mark.parametrize(
    "places",
    [(), (("token",),), (("token",), ("certificate",)), (("token",), ("certificate",), ("request", "headers"))],
)
def test_revision_and_route_are_always_in_it(places):
    first, second = (key_of(frozenset(places), name, Shared(frozenset(places)), None) for name in ("a", "b"))
    assert first(WHOLE) == first(arrived(request_id="x"))
    assert first(WHOLE) != second(WHOLE)
    assert first(WHOLE) != first(replace(WHOLE, route="x"))
