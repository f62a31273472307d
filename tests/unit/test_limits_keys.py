import json

from hypothesis import given
from hypothesis import strategies as st

from ztproxy.config.limits import LimitRule
from ztproxy.limits.keys import LONGEST, part, source_key
from ztproxy.limits.rules import rules
from ztproxy.model import Certificate, Sans, Token


def token(issuer="https://a", subject="s", **claims):
    return Token(b"", issuer, subject, (), claims, "bearer", None, None, 0.0, None)


def certificate(spiffe_id=None):
    return Certificate(b"", "CN=x", "x", Sans(), spiffe_id, "CN=ca", "01", "f" * 64, 0.0, 1.0, 3, False, None, ())


def text(key, source="4", certificate=None, token=None):
    return part(key)(source, "route", certificate, token)


def test_addresses():
    key = source_key(64)
    assert key("192.0.2.1") == key("::ffff:192.0.2.1") != key("192.0.2.2")
    assert key("2001:db8::1") == key("2001:db8:0:0:ffff::1") != key("2001:db8:0:1::1")
    assert key("fe80::1%eth0") == key("fe80::2%eth1")
    assert key("") != key("0.0.0.0")
    assert source_key(128)("2001:db8::1") != source_key(128)("2001:db8::2")


def test_what_a_request_does_not_have_is_replaced_by_its_address():
    for key in ("token.subject", "token.claims.x", "certificate.fingerprint", "certificate.spiffe_id"):
        assert text(key, source="4:192.0.2.1") == "4:192.0.2.1"
    assert text("certificate.spiffe_id", "4", certificate()) == "4"
    assert text("token.claims.x", "4", None, token(x=None)) == "4"


def test_a_claim_is_found_by_its_name_before_its_path():
    assert text("token.claims.a.b", token=token(**{"a.b": "x", "a": {"b": "y"}})) == text(
        "token.claims.a.b", token=token(a={"b": "x"})
    )
    assert text("token.claims.a.b", token=token(a="not an object")) == "4"
    name = "https://corp.example/tenant"
    assert text("token.claims." + name, token=token(**{name: "t"})) != "4"


def test_values_are_kept_apart_by_type():
    values = ["1", 1, True, [1], ["1"], {"1": 1}, "true", "[1]", '"1"']
    assert len({text("token.claims.x", token=token(x=value)) for value in values}) == len(values)
    assert text("token.claims.x", token=token(x={"a": 1, "b": 2})) == text(
        "token.claims.x", token=token(x={"b": 2, "a": 1})
    )


scalars = st.text(max_size=6) | st.integers(-3, 3) | st.booleans()
tokens = st.builds(
    lambda issuer, subject, x: token(issuer, subject, x=x), st.text(max_size=6), st.text(max_size=6), scalars
)


@given(tokens, tokens)
def test_no_two_identities_share_a_bucket(one, other):
    keys = [part("token.subject"), part("token.claims.x"), part("route")]
    same_subject = (one.issuer, one.subject) == (other.issuer, other.subject)
    same_claim = (one.issuer, json.dumps(one.claims)) == (other.issuer, json.dumps(other.claims))

    def joined(token, parts):
        return "".join(part("4", "r", None, token) for part in parts)

    assert (joined(one, keys[:1]) == joined(other, keys[:1])) == same_subject
    assert (joined(one, keys[1:]) == joined(other, keys[1:])) == same_claim
    assert (joined(one, keys) == joined(other, keys)) == (same_subject and same_claim)


@given(st.text(st.characters(), max_size=300))
def test_long_keys_are_hashed_lone_surrogates_and_all(value):
    (rule,) = rules([LimitRule(key="token.claims.x", rate="1/second")])
    key = rule.key("4", "r", None, token(x=value))
    assert len(key) <= LONGEST
    assert key.startswith("#") == (
        len(value) > LONGEST - len(rule.key("4", "r", None, token(x=""))) - len(str(len(value))) + 1
    )
    assert key != rule.key("4", "r", None, token(x=value + "x"))
