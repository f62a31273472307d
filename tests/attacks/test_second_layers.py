"""What the HTTP parser refuses is refused again behind it: one defect, or one lenience more, lets nothing in."""

import pytest

from tests.edge import Edge, get
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.field_section import read_fields
from ztproxy.model import Reason, Refusal
from ztproxy.upstream import response_fields

CONTROLS = [octet for octet in (*range(0x20), 0x7F) if octet != ord("\t")]
NO_NAMES = [b"", b"a b", b"a:", b"a\r", b"a\n", b"a\0", b"\xe9", b"a\t", b"(a)", b'"a"', b"a@b", b"a/b"]


def read(*fields):
    return read_fields([(b"Host", b"a"), *fields], "HTTP/1.1", Cleaning.of().verdicts)


@pytest.mark.parametrize("octet", CONTROLS)
def test_no_control_character_in_a_value(octet):
    for value in (bytes([octet]), b"a" + bytes([octet]) + b"b"):
        refusal = read((b"X", value))
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.REQUEST_MALFORMED
        assert refusal.close


@pytest.mark.parametrize("name", NO_NAMES)
def test_no_name_that_is_no_token(name):
    refusal = read((name, b"a"))
    assert isinstance(refusal, Refusal)
    assert refusal.close


def test_what_is_sound_is_read():
    assert not isinstance(read((b"X", b"a\tb\x80\xff")), Refusal)


def test_both_framings_and_another_version():
    coding, length = (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")
    assert isinstance(read(coding, length), Refusal)
    assert isinstance(read(length, length), Refusal)
    assert not isinstance(read(coding), Refusal)
    refusal = read_fields([(b"Host", b"a"), coding], "HTTP/1.0", Cleaning.of().verdicts)
    assert isinstance(refusal, Refusal)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")],
        [(b"Content-Length", b"3"), (b"Content-Length", b"3")],
        [(b"Content-Length", b"+3")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
    ],
)
def test_a_response_whose_end_has_two_readings(fields):
    names = response_fields.Names()
    understood = [(names[name][1], value) for name, value in fields]
    with pytest.raises(response_fields.Malformed):
        response_fields.read([], understood)


async def test_a_trailer_is_no_part_of_what_is_remembered_of_a_head():
    """A client that repeats its fields has them read once: what follows the content must not count as repeated."""
    edge = Edge()
    edge.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST")[:-2] + b"\r\n0\r\nHost: b.example\r\n\r\n")
    answer = edge.send(
        get(b"/", b"Transfer-Encoding: chunked", b"Host: b.example", method=b"POST")[:-2] + b"\r\n0\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(edge.arrived) == 1
