"""The cookies that say who somebody is are ours: no upstream or policy sees them, and no upstream sets them."""

import pytest

from tests.edge import Edge
from tests.fakes import RecordingPipeline
from ztproxy.edge.own_cookies import taken_out
from ztproxy.upstream.response_fields import PASS, Names, read

SET = b"set-cookie"


@pytest.mark.parametrize(
    ("value", "left", "ours"),
    [
        (b"a=1", b"a=1", ()),
        (b"a=1; __Host-ztproxy-id=x; b=2", b"a=1; b=2", ((b"__Host-ztproxy-id", b"x"),)),
        (b"__Host-ztproxy-id=x", b"", ((b"__Host-ztproxy-id", b"x"),)),
        (b"__host-ZTPROXY-id.login=x;a=1", b"a=1", ((b"__host-ZTPROXY-id.login", b"x"),)),
        (b" __Host-ztproxy-id =x;\t__Host-ztproxy-id=y", b"", tuple((b"__Host-ztproxy-id", v) for v in (b"x", b"y"))),
        (b"a=__Host-ztproxy-id=x", b"a=__Host-ztproxy-id=x", ()),
        (b"__Host-ztproxy-id", b"", ((b"__Host-ztproxy-id", b""),)),
    ],
)  # fmt: skip
def test_ours_are_taken_out_of_a_cookie_field(value, left, ours):
    assert taken_out(value) == (left, ours)


async def test_no_stage_sees_them_among_the_fields():
    pipeline = RecordingPipeline()
    edge = Edge(pipeline)
    edge.send(
        b"GET / HTTP/1.1\r\nHost: h\r\nCookie: __Host-ztproxy-id=s3cret; a=1\r\nCOOKIE: __host-ztproxy-id=t\r\n\r\n"
    )
    arrived = pipeline.arrived[0]
    assert [value for name, value in arrived.fields if name == b"cookie"] == [b"a=1"]
    assert arrived.own_cookies == ((b"__Host-ztproxy-id", b"s3cret"), (b"__host-ztproxy-id", b"t"))


@pytest.mark.parametrize(
    "value",
    [
        b"__Host-ztproxy-id=x; Path=/; Secure",
        b" =__Host-ztproxy-id=x",
        b"__HOST-ztproxy-ID.login =x",
        b"__Host-ztproxy-id",
    ],
)
def test_an_upstream_cannot_set_them(value):
    kind = Names()[b"Set-Cookie"][1]
    assert kind != PASS
    assert read([], [(kind, value)]).fields == []
    assert read([], [(kind, b"a=1; Path=/")]).fields == [(SET, b"a=1; Path=/")]
