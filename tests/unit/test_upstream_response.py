"""Reading responses without a socket: however the octets are cut, they mean the same."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ztproxy.upstream.response import End, ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
MESSAGES = {
    "length": (OK + b"A: 1\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
    "chunks": (OK + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nT: 1\r\n\r\n", b"hello", True),
    "interim": (b"HTTP/1.1 100 C\r\nX: 1\r\n\r\nHTTP/1.1 103\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", b"x", True),
    "interim, then 1.0": (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", False),
    "close": (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nx", b"x", False),
    "close among others": (OK + b"Connection: a, Close\r\nContent-Length: 1\r\n\r\nx", b"x", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", False),
    "1.0 keep-alive": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", b"x", True),
    "none": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
}  # fmt: skip


def read(*pieces: bytes, asks_head: bool = False) -> ResponseReader:
    reader = ResponseReader()
    reader.begin(asks_head=asks_head, asks_switch=False)
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.slow
@given(message=st.sampled_from(sorted(MESSAGES)), cuts=st.lists(st.integers(0, 130), max_size=8))
@settings(max_examples=200, deadline=None)
def test_cuts_make_no_difference(message, cuts):
    octets, content, reusable = MESSAGES[message]
    edges = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
    reader = read(*(octets[start:end] for start, end in pairwise(edges)))
    assert reader.problem is None
    assert (b"".join(reader.content), reader.complete, reader.reusable) == (content, True, reusable)


@pytest.mark.parametrize("message", MESSAGES)
def test_one_octet_at_a_time(message):
    octets, content, reusable = MESSAGES[message]
    reader = read(*(octets[at : at + 1] for at in range(len(octets))))
    assert (b"".join(reader.content), reader.complete, reader.reusable) == (content, True, reusable)


def test_whether_a_connection_stays_is_asked_where_llhttp_knows_it():
    """Asked after `on_message_complete`, httptools says no, and every request would reconnect."""
    reader = read(MESSAGES["length"][0])
    assert reader.reusable
    assert not reader._parser.should_keep_alive()


def test_one_reader_reads_many_responses():
    reader = ResponseReader()
    for asks_head in (False, True, False, True, False):
        reader.begin(asks_head=asks_head, asks_switch=False)
        reader.feed(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if asks_head else b"Content-Length: 2\r\n\r\nok"))
        assert (reader.complete, reader.reusable, len(reader.content)) == (True, True, not asks_head)


@pytest.mark.parametrize(
    ("octets", "end"),
    [
        (b"", End.TRUNCATED),
        (b"HTTP/1.1 200", End.TRUNCATED),
        (b"HTTP/1.1 200 OK\r\n\r\n", End.COMPLETE),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", End.COMPLETE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", End.TRUNCATED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", End.TRUNCATED),
    ],
)
def test_what_the_end_of_a_connection_means(octets, end):
    assert read(octets).closed() is end


def test_trailers_never_become_fields():
    reader = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nSet-Cookie: a=b\r\n\r\n")
    assert reader.head is not None
    assert reader.head.fields == []


def test_a_head_of_64_kib_is_still_read():
    fields = b"X: " + b"y" * 60_000 + b"\r\n"
    reader = read(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 100000\r\n\r\n" + bytes(100_000))
    assert reader.problem is None
    assert reader.complete


@pytest.mark.slow
@given(st.binary(max_size=300))
def test_no_octets_raise(octets):
    read(octets)
    read(b"HTTP/1.1 200 OK\r\n", octets)
    read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", octets)
