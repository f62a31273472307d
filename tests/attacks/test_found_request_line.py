"""A request line has single spaces and says HTTP, and nothing but CRLF comes before it; llhttp takes more."""

import pytest

from tests.edge import Edge, get

HOST = b"\r\nHost: a.example\r\n\r\n"
LINES = {
    "two spaces before the target": b"GET  / HTTP/1.1" + HOST,
    "two spaces after the target": b"GET /  HTTP/1.1" + HOST,
    "RTSP": b"GET / RTSP/1.1" + HOST,
    "a bare LF before": b"\nGET / HTTP/1.1" + HOST,
    "a bare CR before": b"\rGET / HTTP/1.1" + HOST,
}


@pytest.mark.parametrize("request_", LINES.values(), ids=LINES.keys())
async def test_a_line_that_other_parsers_refuse_is_refused(request_):
    edge = Edge()
    assert edge.send(request_).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("request_", LINES.values(), ids=LINES.keys())
async def test_octet_by_octet_too(request_):
    edge = Edge()
    answered = b"".join(edge.send(request_[at : at + 1]) for at in range(len(request_)))
    assert answered.startswith(b"HTTP/1.1 400")


async def test_an_empty_line_before_is_let_pass():
    edge = Edge()
    edge.send(b"\r\n\r\nGET / HTTP/1.1" + HOST)
    assert len(edge.pipeline.arrived) == 1


SHADOW = b"POST /first HTTP/1.1\r\nHost: a.example\r\n"
BEFORE = {
    "nothing": get(b"/first"),
    "a body that holds the line": SHADOW + b"Content-Length: 16\r\n\r\nGET / HTTP/1.1\r\n",
    "chunks that hold the line": SHADOW
    + b"Transfer-Encoding: chunked\r\n\r\n14\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n0\r\nX: y\r\n\r\n",
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE.keys())
@pytest.mark.parametrize("request_", LINES.values(), ids=LINES.keys())
@pytest.mark.parametrize("step", [1, 2, 3, 5, 10_000])
async def test_whatever_stands_before_it(before, request_, step):
    """The line as it should be stands in the content; the line as it is must be refused all the same."""
    edge = Edge()
    octets = before + request_
    answered = b"".join(edge.send(octets[at : at + step]) for at in range(0, len(octets), step))
    assert [arrived.path for arrived in edge.pipeline.arrived] == ["/first"]
    assert answered.count(b"HTTP/1.1 200 ") == answered.count(b"HTTP/1.1 400 ") == 1
    assert edge.wire.closed


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE.keys())
@pytest.mark.parametrize("step", [1, 2, 3, 5, 10_000])
async def test_a_proper_line_is_taken_whatever_stands_before_it(before, step):
    edge = Edge()
    octets = before + b"\r\n" + get(b"/second")
    for at in range(0, len(octets), step):
        edge.send(octets[at : at + step])
    assert [arrived.path for arrived in edge.pipeline.arrived] == ["/first", "/second"]


@pytest.mark.parametrize("name", ["two spaces before the target", "two spaces after the target", "RTSP"])
async def test_behind_another_request_too(name):
    edge = Edge()
    edge.send(b"GET /first HTTP/1.1" + HOST + LINES[name])
    assert [arrived.path for arrived in edge.pipeline.arrived] == ["/first"]
