"""A request line has single spaces and says HTTP, and nothing but CRLF comes before it; llhttp takes more."""

import pytest

from tests.edge import Edge

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


@pytest.mark.parametrize("name", ["two spaces before the target", "two spaces after the target", "RTSP"])
async def test_behind_another_request_too(name):
    edge = Edge()
    edge.send(b"GET /first HTTP/1.1" + HOST + LINES[name])
    assert [arrived.path for arrived in edge.pipeline.arrived] == ["/first"]
