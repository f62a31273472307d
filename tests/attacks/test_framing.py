"""Claim: a message whose end two parsers could see in different places is refused, and the connection with it."""

import pytest

from tests.edge import Edge
from ztproxy.model import Reason

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

HEADS = {
    "length and coding": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "two equal lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "plus": POST + b"Content-Length: +3\r\n\r\nabc",
    "minus": POST + b"Content-Length: -3\r\n\r\nabc",
    "hexadecimal": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "underscore": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "empty length": POST + b"Content-Length: \r\n\r\n",
    "leading zero": POST + b"Content-Length: 03\r\n\r\nabc",
    "huge length": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "space in length": POST + b"Content-Length: 1 0\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "gzip": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "empty coding": POST + b"Transfer-Encoding: \r\n\r\n0\r\n\r\n",
    "quoted coding": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "vertical tab before coding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "coding in 1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before colon": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
    "tab before colon": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 3\r\n\r\nabc",
    "obs-fold": POST + b"X: a\r\n b\r\n\r\n",
    "fold after start line": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF in the head": POST + b"X: a\nY: b\r\n\r\n",
    "bare CR in a value": POST + b"X: a\rY: b\r\n\r\n",
    "NUL in a value": POST + b"X: a\0b\r\n\r\n",
    "control in a value": POST + b"X: a\x01b\r\n\r\n",
    "DEL in a value": POST + b"X: a\x7fb\r\n\r\n",
    "NUL in a name": POST + b"X\0: a\r\n\r\n",
    "name beyond ASCII": POST + b"X\xe9: a\r\n\r\n",
    "no name": POST + b": a\r\n\r\n",
    "no colon": POST + b"X\r\n\r\n",
    "HTTP/0.9": b"GET /\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00",
    "ICE": b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n",
    "a method with a control": b"GE\x01T / HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("step", [1, 7, 100_000])
async def test_is_refused_and_the_connection_closed(head, step):
    edge = Edge()
    answer = b"".join(edge.send(head[at : at + step]) for at in range(0, len(head), step))
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 417 "))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in answer
    assert edge.wire.closed
    assert not edge.forward.servers
    assert edge.told.refusal.reason in (Reason.REQUEST_MALFORMED, Reason.REQUEST_AMBIGUOUS)
    assert len(edge.told.all) == 1


BODIES = {
    "hexadecimal prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "underscore": b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "minus": b"-3\r\nabc\r\n0\r\n\r\n",
    "empty size": b"\r\nabc\r\n0\r\n\r\n",
    "space after size": b"3 \r\nabc\r\n0\r\n\r\n",
    "space before size": b" 3\r\nabc\r\n0\r\n\r\n",
    "overflow": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "bare LF after size": b"3\nabc\r\n0\r\n\r\n",
    "bare CR after size": b"3\rabc\r\n0\r\n\r\n",
    "bare LF in extension": b"3;a\nabc\r\n0\r\n\r\n",
    "control in extension": b"3;a\x01\r\nabc\r\n0\r\n\r\n",
    "bare LF after data": b"3\r\nabc\n0\r\n\r\n",
    "nothing after data": b"3\r\nabc0\r\n\r\n",
    "more data than size": b"3\r\nabcd\r\n0\r\n\r\n",
    "bare LF at the end": b"3\r\nabc\r\n0\n\n",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("step", [1, 100_000])
async def test_malformed_chunks_never_end_a_request(body, step):
    edge = Edge()
    octets = CHUNKED + body
    answer = b"".join(edge.send(octets[at : at + step]) for at in range(0, len(octets), step))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert edge.wire.closed
    assert not any(server.ended for server in edge.forward.servers)
    assert all(server.aborted for server in edge.forward.servers)
    assert len(edge.told.all) == 1


@pytest.mark.parametrize(
    "flood",
    [b";" + b"x" * 40_000, b"".join(b"1;a=" + b"b" * 100 + b"\r\nx\r\n" for _ in range(1000)), b"0" * 40_000 + b"1"],
    ids=["one extension", "many extensions", "leading zeros"],
)
async def test_chunk_framing_is_bounded(flood):
    edge = Edge()
    answer = edge.send(CHUNKED)
    for at in range(0, len(flood), 1000):
        answer += edge.send((b"1" if flood[:1] == b";" and not at else b"") + flood[at : at + 1000])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert edge.wire.closed
    assert len(edge.forward.last.body) < 1000


async def test_trailers_are_bounded_and_go_no_further():
    edge = Edge()
    assert edge.send(CHUNKED + b"1\r\nx\r\n0\r\nX-Role: admin\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert b"x-role" not in dict(edge.arrived[0].fields)
    answer = edge.send(CHUNKED + b"0\r\n")
    for at in range(2000):
        answer += edge.send(b"X-%d: 0123456789\r\n" % at)
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_small_chunks_are_no_attack():
    edge = Edge()
    edge.send(CHUNKED)
    for _ in range(5000):
        edge.send(b"1\r\nx\r\n")
    assert edge.send(b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert edge.forward.last.body == b"x" * 5000


async def test_what_follows_the_end_is_another_request_or_nothing():
    edge = Edge()
    smuggled = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
    edge.send(POST + b"Content-Length: 0\r\n\r\n" + smuggled)
    assert [arrived.path for arrived in edge.arrived] == ["/", "/admin"]  # authorised on its own
    edge.connect()
    edge.send(POST + b"Connection: close\r\n\r\n" + smuggled)
    edge.send(smuggled)
    assert [arrived.path for arrived in edge.arrived] == ["/", "/admin", "/"]
    assert edge.wire.closed


async def test_after_a_refusal_nothing_is_read():
    edge = Edge()
    edge.send(POST + b"Content-Length: +1\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n")
    edge.send(b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not edge.arrived
    assert len(edge.told.all) == 1


LARGE = {
    "one long field": (POST + b"X: " + b"x" * 33_000 + b"\r\n\r\n", 431),
    "many octets": (POST + b"".join(b"X-%d: " % n + b"x" * 400 + b"\r\n" for n in range(90)) + b"\r\n", 431),
    "many fields": (POST + b"A: b\r\n" * 101 + b"\r\n", 431),
    "many fields, unfinished": (POST + b"A: b\r\n" * 2000, 431),
    "long target": (b"GET /" + b"x" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "endless target": (b"GET /" + b"x" * 20_000, 414),
    "endless field": (POST + b"X: " + b"x" * 40_000, 431),
    "endless name": (POST + b"x" * 40_000, 431),
    "empty lines": (b"\r\n" * 20_000, 431),
}


@pytest.mark.parametrize(("octets", "status"), LARGE.values(), ids=LARGE.keys())
@pytest.mark.parametrize("step", [1000, 100_000])
async def test_heads_are_bounded(octets, status, step):
    edge = Edge()
    answer = b"".join(edge.send(octets[at : at + step]) for at in range(0, len(octets), step))
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert edge.told.refusal.reason is Reason.REQUEST_TOO_LARGE
    assert edge.wire.closed
    assert not edge.arrived
