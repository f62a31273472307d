"""Whom a request is for: what the configuration names, else its source address."""

import msgspec
import pytest

from tests.pki import Authority
from tests.raw_server import authorized, certificate, token
from ztproxy.upstream.hash_key import hash_key


def key(name, **changes):
    return hash_key(f"consistent_hash({name})")(authorized(**changes))


def test_what_hashes_nothing_has_no_key():
    assert hash_key("round_robin") is None
    assert hash_key("least_requests") is None


@pytest.fixture(scope="module")
def shown():
    ca = Authority.new()
    return [certificate(ca.issue(name), spiffe_id=f"spiffe://test/{name}") for name in ("alice", "bob")]


@pytest.mark.parametrize("name", ["certificate.fingerprint", "certificate.spiffe_id"])
def test_certificates(name, shown):
    alice, bob = shown
    assert key(name, certificate=alice) == key(name, certificate=alice, source="192.0.2.99")
    assert key(name, certificate=alice) != key(name, certificate=bob)


def test_a_subject_means_nothing_without_its_issuer():
    one = key("token.subject", token=token("alice"))
    assert one == key("token.subject", token=token("alice"), source="192.0.2.99")
    assert one != key("token.subject", token=token("alice", issuer="https://other.test"))


@pytest.mark.parametrize(
    ("name", "claims"),
    [("tenant", {"tenant": "a"}), ("org.tenant", {"org": {"tenant": "a"}}), ("org.tenant", {"org.tenant": "a"})],
)
def test_claims(name, claims):
    whole = f"token.claims.{name}"
    assert key(whole, token=token("x", claims=claims)) == key(whole, token=token("y", claims=claims))
    assert key(whole, token=token(claims=claims)) != key(whole, token=token(claims={name: "b"}))


def test_one_and_its_text_are_two():
    assert key("token.claims.n", token=token(claims={"n": 1})) != key("token.claims.n", token=token(claims={"n": "1"}))


def test_headers():
    one = key("header.X-Shard", fields=((b"x-shard", b"7"),))
    assert one == key("header.X-Shard", fields=((b"x-shard", b"7"),), source="192.0.2.99")
    assert one != key("header.X-Shard", fields=((b"x-shard", b"8"),))
    assert one != key("header.X-Shard", fields=((b"x-shard", b"7"), (b"x-shard", b"7")))


@pytest.mark.parametrize(
    "name",
    [
        "source.address",
        "token.subject",
        "token.claims.tenant",
        "token.claims.a.b",
        "certificate.fingerprint",
        "certificate.spiffe_id",
        "header.X-Shard",
    ],
)
def test_what_is_absent_goes_by_the_source_address(name):
    assert key(name) == key("source.address")
    assert key(name) != key(name, source="192.0.2.99")


def test_a_claim_that_is_null_or_in_no_object_is_absent():
    for claims in ({"a": None}, {"a": "text"}, {}):
        assert key("token.claims.a.b", token=token(claims=claims)) == key("source.address")


def test_surrogates_are_hashed_too():
    assert isinstance(key("token.subject", token=msgspec.structs.replace(token(), subject="\ud800")), int)
