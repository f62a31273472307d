"""Nobody gets out of a limit, nor into somebody else's bucket, by what they send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztproxy.config.settings import Settings
from ztproxy.limits import Limits
from ztproxy.model import Admitted, Arrived, Certificate, Connection, Identified, Reason, Sans, Token


def built(*rules, **limits):
    return Limits.build(
        Settings(
            version=1,
            listeners=({"address": "127.0.0.1:1", "protocol": "http"},),
            limits={"rules": rules, **limits},
            routes=[
                {"name": name, "hosts": ("*",), "paths": (f"/{name}/",), "require": (), "upstream": {"servers": ("http://h",)}}
                for name in "ab"
            ],
        ),
        report=lambda _: None,
    )  # fmt: skip


def request(source="192.0.2.1", *, issuer="https://a", subject=None, claims=None, spiffe_id=None, route="a", now=0.0):
    arrived = Arrived(
        request_id="1", wall=0.0, monotonic=now, connection=Connection("l", "https", source, 1, 2), source=source,
        method="GET", scheme="https", host="h", port=443, authority=b"h", path="/", segments=(), query="",
        has_query=False, fields=(), unverified_authorization=(), content_length=0,
    )  # fmt: skip
    token = certificate = None
    if subject is not None:
        token = Token(b"", issuer, subject, (), claims or {}, "bearer", None, None, 0.0, None)
    if spiffe_id is not None:
        certificate = Certificate(b"", "", None, Sans(), spiffe_id, "", "1", "f" * 64, 0, 1, 3, False, None, ())
    return Identified(arrived, route, certificate, token)


async def answers(limits, *requests):
    """True for each that is admitted; what is not is rate-limited."""
    found = [await limits.admit(each) for each in requests]
    assert all(isinstance(each, Admitted) or each.reason is Reason.RATE_LIMITED for each in found)
    return [isinstance(each, Admitted) for each in found]


ONE = "1/hour"


def claim(value, **at):
    return {"subject": "s", "claims": {"x": value}, **at}


async def test_leaving_the_token_out_does_not_escape_the_limit():
    limits = built({"key": "token.subject", "rate": ONE})
    assert await answers(limits, request(), request(), request("192.0.2.2")) == [True, False, True]


async def test_a_token_without_the_claim_does_not_escape_the_limit():
    limits = built({"key": "token.claims.tenant", "rate": ONE})
    requests = [request(subject=str(number), claims={"other": number}) for number in range(2)]
    assert await answers(limits, *requests) == [True, False]


async def test_other_addresses_do_not_help_who_is_known():
    limits = built({"key": "token.subject", "rate": ONE})
    assert await answers(limits, request("192.0.2.1", subject="s"), request("192.0.2.2", subject="s")) == [True, False]


async def test_addresses_of_one_ipv6_network_share_a_bucket():
    limits = built({"key": "source.address", "rate": ONE})
    for source, refused in (("2001:db8::1", False), ("2001:db8::ffff", True), ("2001:db8:0:1::1", False)):
        assert ((await limits.charge_source(request(source).arrived)) is not None) == refused


async def test_ipv4_inside_ipv6_is_the_same_address():
    limits = built({"key": "source.address", "rate": ONE})
    sources = ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", "0:0:0:0:0:ffff:c000:201")
    found = [await limits.charge_source(request(source).arrived) for source in sources]
    assert [each is not None for each in found] == [False, True, True, True]


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        # The same subject at two issuers (GHSA-4mq7-pvjg-xp2r).
        ("token.subject", {"subject": "s"}, {"subject": "s", "issuer": "https://b"}),
        ("token.subject", {"subject": "b1:c", "issuer": "a"}, {"subject": "1:c", "issuer": "ab"}),
        ("token.subject", {"subject": "192.0.2.1"}, {}),
        ("token.subject", {"subject": "4" + "9:192.0.2.1", "issuer": ""}, {}),
        ("token.claims.x", claim("1"), claim(1)),
        ("token.claims.x", claim(1), claim(True)),
        ("token.claims.x", claim(["a,b"]), claim(["a", "b"])),
        ("token.claims.x", claim("a" * 9000), claim("a" * 9001)),
        ("token.claims.x", claim("t"), claim("t", issuer="b")),
        ("certificate.spiffe_id", {"spiffe_id": "spiffe://a/b"}, {"spiffe_id": "spiffe://a/c"}),
        (("token.subject", "route"), {"subject": "s"}, {"subject": "s", "route": "b"}),
        (("token.subject", "token.claims.x"), claim("x", subject="s1"), claim("1x", subject="s")),
    ],
)  # fmt: skip
async def test_nobody_empties_another_s_bucket(key, one, other):
    limits = built({"key": key, "rate": ONE})
    assert await answers(limits, request(**one), request(**other), request(**one), request(**other)) == [
        True,
        True,
        False,
        False,
    ]


async def test_a_flood_of_new_keys_makes_no_used_up_bucket_forgotten():
    limits = built({"key": "source.address", "rate": ONE}, maximum_buckets=64)
    assert await limits.charge_source(request().arrived) is None
    reasons = set()
    for number in range(1000):
        refusal = await limits.charge_source(request(f"2001:db8:0:{number:x}::1").arrived)
        reasons.add(refusal.reason if refusal else None)
    assert reasons == {None, Reason.OVERLOADED}
    assert (await limits.charge_source(request().arrived)).reason is Reason.RATE_LIMITED
    assert len(limits._local) == 64


async def test_a_refused_flood_does_not_move_the_moment_at_which_it_may_come_again():
    limits = built({"key": "token.subject", "rate": "1/minute"})
    flood = [request(subject="s", now=number / 10) for number in range(600)]
    assert sum(await answers(limits, *flood)) == 1
    assert await answers(limits, request(subject="s", now=60.0)) == [True]


text = st.text(st.characters(), max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(("x", "x.y")), values))
def test_no_claim_however_strange_breaks_it(claims):
    limits = built({"key": "token.claims.x", "rate": ONE}, {"key": ("token.claims.x.y", "token.claims.x"), "rate": ONE})
    for expected in (Admitted, None):
        coroutine = limits.admit(request(subject="s", claims=claims))
        with pytest.raises(StopIteration) as done:
            coroutine.send(None)
        assert isinstance(done.value.value, Admitted) == (expected is Admitted)
