"""Claim: good requests spoilt in any way, and cut anywhere, are read in one way, and nothing else reaches an upstream.

Deterministic: the same examples on every run; raise `max_examples` to search further.
"""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import corpus
from tests.canonical_upstream import Corpus
from tests.edge import get

pytestmark = pytest.mark.slow
EXAMPLES = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)

TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"1", b"0\r\n\r\n", b"\r\n\r\n", b"\r\n ",
    b"%2e", b"..",
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n",
    b"\x80", b"\xff",
    b"Connection: close\r\n",
    b"X-Forwarded-For: 1.1.1.1\r\n", b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1",
    b"5\r\nhello\r\n", b"fffffffffffffff", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"*", b"//", b"#",
]  # fmt: skip
GOOD = [octets for octets, _ in corpus.TAKEN.values()]


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Some good requests behind one another, spoilt in up to four places."""
    stream = b"".join(draw(st.lists(st.sampled_from(GOOD), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(stream)))
        to = min(len(stream), at + draw(st.integers(0, 6)))
        match draw(st.sampled_from(["insert", "replace", "delete", "repeat", "octet"])):
            case "insert":
                stream = stream[:at] + draw(st.sampled_from(TOKENS)) + stream[at:]
            case "replace":
                stream = stream[:at] + draw(st.sampled_from(TOKENS)) + stream[to:]
            case "delete":
                stream = stream[:at] + stream[to:]
            case "repeat":
                stream = stream[:to] + stream[at:]
            case _:
                stream = stream[:at] + bytes([draw(st.integers(0, 255))]) + stream[at + 1 :]
    return stream


def statuses(answer: bytes) -> list[bytes]:
    """The final ones: 100 is said only to those who wait for it."""
    return [status for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer) if status != b"100"]


@EXAMPLES
@given(streams(), st.lists(st.integers(1, 400), max_size=12))
async def test_it_is_read_in_one_way_however_it_is_cut(stream, cuts):
    ends = sorted({at for at in cuts if at < len(stream)})
    pieces = [stream[a:b] for a, b in zip([0, *ends], [*ends, len(stream)], strict=True)]
    async with Corpus() as upstream:
        ways = []
        for said in ([stream], pieces, [stream[at : at + 1] for at in range(len(stream))]):
            answer, passed = await upstream.say_pieces(said)
            done = [one for one in passed if one.request_id in upstream.answered]
            ways.append((statuses(answer), [(a.method, a.path, a.fields, a.content_length) for a in done]))
            assert b"500" not in ways[-1][0]
            assert all(one.source == "192.0.2.7" for one in passed)
    assert ways[0] == ways[1] == ways[2]


@EXAMPLES
@given(st.binary(max_size=300))
async def test_octets_that_mean_nothing_reach_nobody(octets):
    async with Corpus() as upstream:
        answer, passed = await upstream.say(octets)
        assert not passed
        assert statuses(answer) in ([], [b"400"])
        answer, passed = await upstream.say(get() + octets)
        assert len(passed) == 1
        assert statuses(answer) in ([b"200"], [b"200", b"400"])


NAMES = st.text("abcXYZ019-_.!#$%&'*+^`|~", min_size=1, max_size=12).map(str.encode)
VALUES = st.binary(max_size=20).map(lambda value: bytes(c for c in value if c == 9 or (c >= 32 and c != 127)))


@EXAMPLES
@given(st.lists(st.tuples(NAMES, VALUES), max_size=20), st.text("abc/._~-%20?&=+", max_size=20).map(str.encode))
async def test_any_fields_are_written_as_they_were_read(fields, path):
    """Whatever passes stands in the upstream's octets as the policy saw it: the upstream compares."""
    lines = [name + b": " + value for name, value in fields]
    async with Corpus() as upstream:
        answer, passed = await upstream.say(get(b"/" + path, *lines))
        assert statuses(answer) in ([b"200"], [b"400"])
        if passed:
            assert not any(b"_" in name for name, _ in passed[0].fields)
            assert not {".", ".."} & set(passed[0].path.split("/"))
