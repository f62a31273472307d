"""What an issuer puts into a token's claims never says anything else of who asks, nor of another."""

import base64
import json
import re

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.pki import Authority
from tests.raw_server import authorized, certificate, token
from ztproxy.config.assertions import REGISTERED
from ztproxy.config.settings import Assertion
from ztproxy.upstream.assertion import Assertions, Telling
from ztproxy.upstream.claim_sources import sources
from ztproxy.upstream.key_ring import load_ring
from ztproxy.upstream.statement import Statements

NOW = 1_700_000_000.0
ALICE = certificate(Authority.new("Clients").issue("alice"), not_after=NOW + 3600)
MAPPING = {
    "email": "token.claims.email",
    "groups": "token.groups",
    "any": "token.claims.any",
    "spiffe": "certificate.spiffe_id",
    "host": "request.host",
    "address": "source.address",
}


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    key = tmp_path_factory.mktemp("ring") / "a.key"
    return load_ring(Assertion(key=key, issuer="https://g.test"), NOW)


def assertions(ring, mapping=MAPPING):
    tellings = {name: Telling(name, sources(mapping)) for name in ("app", "other")}
    return Assertions(ring, "https://g.test", 60.0, tellings)


def claims_of(made):
    return jwt.decode(made[0], options={"verify_signature": False})


@pytest.mark.parametrize("name", sorted(REGISTERED))
def test_no_mapping_says_who_asks(ring, name):
    """However the mapping came to be: the configuration refuses it, and what signs does not write it."""
    asked = authorized(certificate=ALICE, token=token(claims={"evil": "root"}))
    plain = claims_of(assertions(ring, {}).of(asked))
    mapped = claims_of(assertions(ring, {name: "token.claims.evil"}).of(asked))
    assert mapped == plain
    assert "root" not in str(mapped)


INJECTED = [
    'x","sub":"root',
    '"}\r\nX-Role: admin\r\n',
    "x\r\nX-Ztproxy-Assertion: forged\r\n\r\nGET /admin HTTP/1.1\r\n",
    "\x00",
    "\u2028\u2029\ufeff",
    {"sub": "root", "iss": "https://evil.test"},
    {"__proto__": {"admin": True}},
    ["a.b.c", "=", "==", "."],
    "eyJhbGciOiJub25lIn0.e30.",
]


@pytest.mark.parametrize("value", INJECTED, ids=lambda value: repr(value)[:16])
def test_a_value_is_that_value_and_nothing_else(ring, value):
    asked = authorized(token=token(claims={"any": value, "email": value}))
    lines = Statements(assertions(ring)).of(asked)
    (signed,) = re.findall(rb"X-Ztproxy-Assertion: ([^\r]*)\r\n", lines)
    assert re.fullmatch(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", signed)
    assert lines.count(b"\r\n") == 4
    payload = signed.split(b".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)), object_pairs_hook=list)
    names = [name for name, _ in claims]
    assert len(names) == len(set(names))
    verified = jwt.decode(
        signed, ring.signing(NOW).private.public_key(), ["ES256"], {"verify_exp": False}, audience="app"
    )
    assert (verified["any"], verified["email"], verified["sub"]) == (value, value, "alice")


def test_a_hundred_levels_deep_is_said_as_it_is(ring):
    deep = "end"
    for _ in range(100):
        deep = {"a": [deep]}
    made = claims_of(assertions(ring).of(authorized(token=token(claims={"any": deep}))))
    assert made["any"] == deep


VALUES = st.recursive(st.none() | st.booleans() | st.integers(0, 1) | st.text("ab", max_size=1), st.lists, max_leaves=2)
ASKING = st.builds(
    lambda subject, issuer, claims, cert, host, route, address: {
        "token": token(subject, issuer, digest=f"{subject} {issuer} {claims!r}".encode(), claims=claims),
        "certificate": ALICE if cert else None,
        "host": host,
        "route": route,
        "source": address,
    },
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(["https://one.test", "https://two.test"]),
    st.fixed_dictionaries({"email": VALUES, "any": VALUES}),
    st.booleans(),
    st.sampled_from(["a.test", "b.test"]),
    st.sampled_from(["app", "other"]),
    st.sampled_from(["192.0.2.1", "192.0.2.2"]),
)


@pytest.mark.slow
@given(asking=st.lists(ASKING, min_size=2, max_size=6))
def test_what_is_remembered_of_one_is_never_said_of_another(ring, asking):
    shared = assertions(ring)
    for asked in [authorized(**each) for each in asking] * 2:
        assert json.dumps(claims_of(shared.of(asked))) == json.dumps(claims_of(assertions(ring).of(asked)))


def test_equal_claims_are_no_equal_identity(ring):
    shared = assertions(ring)
    claims = {"email": "team@corp.test"}
    asking = [
        {"token": token("alice", claims=claims)},
        {"token": token("bob", claims=claims)},
        {"token": token("alice", "https://other.test", claims=claims)},
        {"token": token("alice", claims=claims), "certificate": ALICE},
    ]
    made = [shared.of(authorized(**asked))[0] for asked in asking]
    assert len(set(made)) == len(made)


def test_another_host_or_address_is_said_anew(ring):
    """Of the very same token: what is said of a request is compared with each."""
    shared, alice = assertions(ring), token()
    asked = [{}, {"host": "b.test"}, {"source": "192.0.2.9"}, {}]
    made = [claims_of(shared.of(authorized(token=alice, **one))) for one in asked]
    assert [(one["host"], one["address"]) for one in made] == [
        ("app.test", "192.0.2.7"),
        ("b.test", "192.0.2.7"),
        ("app.test", "192.0.2.9"),
        ("app.test", "192.0.2.7"),
    ]


@pytest.mark.parametrize("remembers", ["assertion", "statement"])
def test_a_token_that_says_something_else_now_is_said_anew(ring, remembers):
    """An opaque token has the same octets, and so the same digest, when its issuer tells of it anew."""
    before = token(claims={"email": "a@x"}, groups=("admin",))
    after = replace(before, claims={"email": "b@x"}, groups=())
    shared = assertions(ring)
    if remembers == "assertion":
        seen = [claims_of(shared.of(authorized(token=each))) for each in (before, after)]
    else:
        statements = Statements(shared)
        lines = [statements.of(authorized(token=each)) for each in (before, after)]
        found = [re.search(rb"Assertion: (\S+)", line) for line in lines]
        seen = [jwt.decode(one[1], options={"verify_signature": False}) for one in found]
    assert [(one["email"], one["groups"]) for one in seen] == [("a@x", ["admin"]), ("b@x", [])]


def test_where_it_is_off_nothing_is_signed(ring):
    made = Assertions(ring, "https://g.test", 60.0, {"app": None})
    lines = Statements(made).of(authorized(certificate=ALICE, token=token()))
    assert b"Assertion" not in lines
