"""Claim: a path that reaches routing, the policy and the upstream has one spelling and one meaning."""

import pytest

from tests.edge import Edge, get
from ztproxy.model import Reason

AMBIGUOUS = [
    b"/.", b"/..", b"/./", b"/../", b"/a/../b", b"/a/./b", b"/a/..", b"/a/.", b"/%2e", b"/%2E%2E/", b"/.%2E/",
    b"/%2e./",
    b"/%252e%252e/", b"/%252E", b"/%25252e", b"/a%2fb", b"/a%2Fb", b"/a%5cb", b"/a%5Cb", b"/a\\b", b"/..\\b",
    b"/a%252fb",
    b"//", b"/a//b", b"//a", b"/a//", b"/a;b", b"/a;b=c/d", b"/..;/a", b"/a%3Bb", b"/a%3bb", b"/%00", b"/a%00.png",
    b"/a%0Ab", b"/a%0D%0AX:%20y", b"/%7F", b"/%C2%80", b"/%C2%9F", b"/%C0%AF", b"/%C0%AE%C0%AE/", b"/%E0%80%AF",
    b"/%F0%80%80%AF", b"/%ED%A0%80", b"/%FF", b"/%C3", b"/%C3%28", b"/%F5%80%80%80", b"/%61dmin", b"/%41", b"/%7E",
    b"/a%2D",
    b"/%5F", b"/caf%c3%a9", b"/%c3%A9", b"/%2525", b"/a%2541", b"/;", b"/a/;/b",
]  # fmt: skip
MALFORMED = [
    b"/%", b"/%4", b"/%zz", b"/a%u002e", b"/%%32", b"/a b", b"/a\x00", b"/a\tb", b"/\x7f", b'/"', b"/<x>", b"/a|b",
    b"/{a}",
    b"/a^b", b"/`", b"/[a]", b"/\xc3\xa9", b"/\xc0\xaf",
]  # fmt: skip


@pytest.mark.parametrize("path", AMBIGUOUS)
@pytest.mark.parametrize("suffix", [b"", b"?x=1"])
async def test_a_path_with_two_readings_is_refused(path, suffix):
    edge = Edge()
    answer = edge.send(get(path + suffix))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert edge.told.refusal.reason is Reason.REQUEST_AMBIGUOUS
    assert edge.told.refusal.detail
    assert edge.wire.closed
    assert not edge.arrived


@pytest.mark.parametrize("path", MALFORMED)
async def test_a_path_that_is_none_is_refused(path):
    edge = Edge()
    assert edge.send(get(path)).startswith(b"HTTP/1.1 400 ")
    assert edge.told.refusal.reason is Reason.REQUEST_MALFORMED
    assert edge.wire.closed
    assert not edge.arrived


async def test_the_refusal_says_what_and_where():
    edge = Edge()
    assert b"an encoded slash in the path, at octet 3" in edge.send(get(b"/a%2Fb"))


async def test_what_was_refused_once_is_refused_again():
    for _ in range(2):
        edge = Edge()
        edge.send(get(b"/a"))
        assert edge.send(get(b"/a/../b")).startswith(b"HTTP/1.1 400 ")


async def test_absolute_form_is_no_way_around():
    edge = Edge()
    assert edge.send(get(b"https://a.example/a/../b")).startswith(b"HTTP/1.1 400 ")
    assert edge.told.refusal.reason is Reason.REQUEST_AMBIGUOUS
