"""Claim: whatever a client sends, an upstream sees nothing but the requests that were authorised, in canonical form.

Every class of framing, target, Host, path and identity header, in many spellings, alone, behind and before a good
request, whole and in pieces, against an upstream that writes down every octet.
"""

from collections.abc import Callable, Iterable

import pytest

from tests import corpus
from tests.canonical_upstream import Corpus, read, written
from tests.edge import get
from tests.raw_server import arrived
from ztproxy.edge.cleaning import Cleaning

pytestmark = pytest.mark.slow
GOOD = get(b"/good")
CASES: dict[str, Callable[[], Iterable[tuple[str, bytes]]]] = {
    "framing": corpus.refused_framing,
    "targets": corpus.refused_targets,
}


@pytest.mark.parametrize("cases", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("step", [1_000_000, 1])
async def test_what_has_two_readings_reaches_nobody(cases, step):
    async with Corpus() as upstream:
        for name, octets in cases():
            answer, passed = await upstream.say(octets + GOOD, step)
            assert not passed, name
            assert answer.count(b"HTTP/1.1 ") == 1, name
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 417 ")), (name, answer[:20])
            answer, passed = await upstream.say(GOOD + octets + GOOD, step)
            assert [one.path for one in passed] == ["/good"], name
            assert answer.startswith(b"HTTP/1.1 200 "), name
    assert len(upstream.answered) > 100


@pytest.mark.parametrize("step", [1_000_000, 7, 1])
async def test_a_body_that_is_none_never_ends_a_request(step):
    async with Corpus() as upstream:
        for name, octets in corpus.refused_bodies():
            answer, passed = await upstream.say(octets + GOOD, step)
            assert [one.path for one in passed] in ([], ["/"]), name
            assert answer.startswith(b"HTTP/1.1 400 "), name
            assert answer.count(b"HTTP/1.1 ") == 1, name
            assert not any(one.request_id in upstream.answered for one in passed), name


@pytest.mark.parametrize("step", [1_000_000, 11, 1])
async def test_good_requests_reach_it_once_each(step):
    async with Corpus() as upstream:
        for name, (octets, count) in corpus.TAKEN.items():
            answer, passed = await upstream.say(octets, step)
            assert len(passed) == count, name
            assert answer.count(b"HTTP/1.1 200 ") == count, (name, answer)
            assert all(one.request_id in upstream.answered for one in passed), name
            assert all(b"admin" not in one.path.encode() for one in passed), name


async def test_no_spelling_of_an_identity_header_passes():
    cleaning = Cleaning.of(set_by_policy=["X-Role"])
    async with Corpus() as upstream:
        for name in corpus.posing():
            lines = (name + b": admin", b"X-Own: 1", name + b": other", b"Connection: " + name.replace(b"/", b""))
            answer, passed = await upstream.say(get(b"/", *lines), cleaning=cleaning)
            assert answer.startswith(b"HTTP/1.1 200 "), name
            assert passed[0].fields == ((b"x-own", b"1"),), name
            assert passed[0].source == "192.0.2.7", name


async def test_cut_in_two_at_every_octet_it_is_the_same():
    async with Corpus() as upstream:
        for name, (octets, count) in corpus.TAKEN.items():
            for at in range(1, len(octets), 1 if len(octets) < 120 else 3):
                _, passed = await upstream.say_in_two(octets, at)
                assert len(passed) == count, (name, at)


def test_the_upstream_itself_takes_nothing_else():
    """The reading that all of the above rests on."""
    good = written(arrived(request_id="0" * 32), b"u")
    assert [seen.complete for seen in read(good + good)] == [True, True]
    for wrong in (
        good.replace(b"GET ", b"GET  "),
        good.replace(b"HTTP/1.1", b"HTTP/1.0"),
        good.replace(b"Host: u\r\n", b"Host: u\n"),
        good.replace(b"Host: u", b"Host:u"),
        good.replace(b"Host: u", b"X_Y: u"),
        good + b"x\r\n\r\n",
        good.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        good.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: gzip\r\n\r\n"),
        good.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n"),
    ):
        with pytest.raises(AssertionError):
            read(wrong)
