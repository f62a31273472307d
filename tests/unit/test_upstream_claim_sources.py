"""What a mapped claim says, in which type, and what it leaves out."""

import jwt
import pytest

from tests.pki import Authority
from tests.raw_server import authorized, certificate, token
from ztproxy.config.assertions import SOURCES
from ztproxy.config.settings import Assertion
from ztproxy.model import Reason, Refusal, Sans
from ztproxy.upstream.assertion import LARGEST_CLAIM, LARGEST_CLAIMS, Assertions, Telling
from ztproxy.upstream.claim_sources import source, sources
from ztproxy.upstream.key_ring import KeyRing, load_ring

ALICE = certificate(
    Authority.new("Clients").issue("alice"),
    common_name="alice",
    spiffe_id="spiffe://corp/alice",
    sans=Sans(dns=("a.test",), email=("a@x",)),
    not_after=1_800_000_000.0,
)


@pytest.fixture
def ring(tmp_path) -> KeyRing:
    return load_ring(Assertion(key=tmp_path / "a.key", issuer="https://g.test"), 0.0)


def said(ring, claims, **asked):
    assertions = Assertions(ring, "https://g.test", 60.0, {"app": Telling("app", sources(claims))})
    made = assertions.of(authorized(**asked))
    return made if isinstance(made, Refusal) else jwt.decode(made[0], options={"verify_signature": False})


def test_values_keep_their_types(ring):
    values = {
        "a": "1",
        "b": 1,
        "c": 1.0,
        "d": True,
        "e": [1, "x", None],
        "f": {"g": {"h": []}},
        "i": 0,
        "j": False,
        "k": "",
    }
    claims = said(ring, {name: f"token.claims.{name}" for name in values}, token=token(claims=values))
    assert {name: claims[name] for name in values} == values
    assert [type(claims[name]) for name in "abcdij"] == [str, int, float, bool, int, bool]


def test_every_source_says_what_the_policy_sees(ring):
    asked = {
        "certificate": ALICE,
        "token": token(groups=("ops",), roles=("admin",)),
        "host": "app.test",
        "source": "192.0.2.7",
    }
    claims = said(ring, {f"c:{name}": name for name in SOURCES}, **asked)
    found = {name: claims.get(f"c:{name}") for name in SOURCES}
    assert found == {
        "token.subject": "alice",
        "token.issuer": "https://idp.test",
        "token.audience": ["ztproxy"],
        "token.groups": ["ops"],
        "token.roles": ["admin"],
        "certificate.subject": ALICE.subject,
        "certificate.common_name": "alice",
        "certificate.spiffe_id": "spiffe://corp/alice",
        "certificate.issuer": ALICE.issuer,
        "certificate.serial": ALICE.serial,
        "certificate.fingerprint": ALICE.fingerprint,
        "certificate.sans.dns": ["a.test"],
        "certificate.sans.uri": [],
        "certificate.sans.email": ["a@x"],
        "certificate.sans.ip": [],
        "request.host": "app.test",
        "request.scheme": "https",
        "request.route": "app",
        "source.address": "192.0.2.7",
    }


def test_what_there_is_not_is_left_out(ring):
    mapping = {
        "a": "token.claims.a",
        "b": "certificate.common_name",
        "c": "token.claims.n",
        "d": "certificate.spiffe_id",
    }
    claims = said(ring, mapping, token=token(claims={"n": None}))
    assert set(claims) == {"iss", "aud", "sub", "token_issuer", "iat", "exp"}


def test_a_claim_is_found_by_its_whole_name_or_by_its_dots(ring):
    claims = {"https://corp/x.y": 1, "realm_access": {"roles": ["r"]}}
    mapping = {"x": "token.claims.https://corp/x.y", "roles": "token.claims.realm_access.roles"}
    made = said(ring, mapping, token=token(claims=claims))
    assert (made["x"], made["roles"]) == (1, ["r"])


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("x" * (LARGEST_CLAIM - 2), True),
        ("x" * (LARGEST_CLAIM - 1), False),
        ("\u00fc" * 700, False),
        ({"a": float("nan")}, False),
        ([float("inf")], False),
        (b"octets", False),
    ],
    ids=["at the bound", "over it", "counted as written", "nan", "inf", "octets"],
)
def test_a_claim_that_does_not_fit_is_refused_by_its_name(ring, value, fits):
    made = said(ring, {"big": "token.claims.big"}, token=token(claims={"big": value}))
    if fits:
        assert made["big"] == value
    else:
        assert (made.reason, made.detail) == (Reason.ASSERTION_TOO_LARGE, "")
        assert "the claim big " in made.cause


def test_all_together_have_a_bound(ring):
    big = "x" * 4000
    mapping = {f"c{number}": "token.claims.big" for number in range(5)}
    made = said(ring, mapping, token=token(claims={"big": big}))
    assert made.reason is Reason.ASSERTION_TOO_LARGE
    assert str(LARGEST_CLAIMS) in made.cause
    assert said(ring, dict(list(mapping.items())[:4]), token=token(claims={"big": big}))["c3"] == big


def test_a_value_that_never_ends_is_refused(ring):
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    made = said(ring, {"deep": "token.claims.deep"}, token=token(claims={"deep": deep}))
    assert made.reason is Reason.ASSERTION_TOO_LARGE


def test_only_what_differs_between_requests_is_compared_again():
    assert {name for name in SOURCES if source(name).of_request} == {"request.host", "request.scheme", "source.address"}
    assert not source("token.claims.x").of_request
