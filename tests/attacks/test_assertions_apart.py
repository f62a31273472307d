"""What was signed about one identity on one route is never said of another, or elsewhere."""

import itertools
import re

import jwt
import pytest
from msgspec.structs import replace

from tests.pki import Authority
from tests.raw_server import authorized, certificate, token
from ztproxy.upstream.assertion import Assertions, Telling
from ztproxy.upstream.key_ring import KeyRing
from ztproxy.upstream.signing_key import load_or_create
from ztproxy.upstream.statement import Statements

NOW = 1_700_000_000.0
CLIENTS = Authority.new("Clients")
ALICE, BOB = (certificate(CLIENTS.issue(name), not_after=NOW + 3600) for name in ("alice", "bob"))
FIRST, SECOND = token(), token(subject="carol", digest=b"2" * 32)
ASKED = [
    pair
    for pair in itertools.product(("app", "other"), (ALICE, BOB, None), (FIRST, SECOND, None))
    if pair[1] is not None or pair[2] is not None
]


@pytest.fixture
def make(tmp_path):
    key = load_or_create(tmp_path / "assertion.key")

    def claims(assertions, asked):
        route, certificate, token = asked
        request = authorized(route=route, certificate=certificate, token=token)
        made = assertions.of(replace(request, arrived=replace(request.arrived, wall=NOW)))
        assert made is not None
        return jwt.decode(made[0], options={"verify_signature": False})

    tellings = {name: Telling(name) for name in ("app", "other")}
    ring = KeyRing([(0.0, key)], b"")
    return lambda: Assertions(ring, "https://gateway.test", 60.0, tellings), claims


def test_each_route_certificate_and_token_has_its_own(make):
    new, claims = make
    shared = new()
    for _ in range(2):
        for asked in ASKED:
            assert claims(shared, asked) == claims(new(), asked)
    assert len({str(claims(shared, asked)) for asked in ASKED}) == len(ASKED)


def test_what_is_remembered_of_an_identity_is_said_no_longer_than_it_counts(make):
    """Sixty seconds: made anew from half of them on, and after the clock was set back."""
    new, _ = make
    statements = Statements(new())

    def times(later):
        asked = authorized(certificate=ALICE, token=FIRST)
        asked = replace(asked, arrived=replace(asked.arrived, wall=NOW + later))
        found = re.search(rb"X-Ztproxy-Assertion: (\S+)", statements.of(asked))
        assert found
        claims = jwt.decode(found[1], options={"verify_signature": False})
        return claims["iat"] - NOW, claims["exp"] - NOW

    assert times(0) == times(29) == (0, 60)
    assert times(31) == times(60) == (31, 91)
    assert times(3) == (3, 63)
    assert times(600) == (600, 660)
