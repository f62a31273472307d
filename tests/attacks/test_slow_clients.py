"""Claim: a client that sends or reads too slowly to be of any use is cut off, however it spreads its octets."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from tests import pki
from tests.edge import Edge, get
from tests.fakes import RecordingForward
from tests.listening import listener_settings, serving, until
from ztproxy.edge.bounds import Patience
from ztproxy.edge.http1 import Http1
from ztproxy.model import Reason

PATIENCE = Patience(body=60.0, minimum_rate=500)
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


def edge() -> Edge:
    return Edge(forward=RecordingForward(answer=None), patience=PATIENCE)


@pytest.mark.parametrize("head", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_a_body_that_trickles_is_cut_off(head):
    slow = edge()
    slow.send(POST + head)
    piece = b"x" if b"Length" in head else b"1\r\nx\r\n"
    for _ in range(11):
        slow.send(piece)
        slow.at(5.5)
    assert slow.wire.taken().startswith(b"HTTP/1.1 408 ")
    assert slow.told.refusal.reason is Reason.REQUEST_MALFORMED
    assert slow.forward.last.aborted
    assert slow.wire.closed


async def test_a_fast_beginning_buys_no_more_than_the_bound():
    slow = edge()
    slow.send(POST + b"Content-Length: 10000000\r\n\r\n" + b"x" * 1_000_000)
    slow.at(59)
    assert not slow.wire.closed
    slow.send(b"x")
    slow.at(2)
    assert slow.wire.closed


async def test_a_body_at_the_rate_goes_through():
    steady = edge()
    steady.send(POST + b"Content-Length: 50000\r\n\r\n")
    for _ in range(100):
        steady.at(1)
        steady.send(b"x" * 500)
    assert steady.forward.last.body == b"x" * 50_000
    assert steady.forward.last.ended
    assert not steady.wire.closed


async def test_content_of_the_response_does_not_put_off_the_requests_deadline():
    slow = edge()
    slow.send(POST + b"Content-Length: 9\r\n\r\n")
    slow.forward.last.client.send_head(200, (), None)
    for _ in range(7):
        slow.at(9)
        slow.forward.last.client.send_body(b"x")
    assert slow.wire.closed
    assert slow.told.last.cut


async def test_while_the_upstream_takes_nothing_the_clock_stands():
    waiting = edge()
    waiting.send(POST + b"Content-Length: 9\r\n\r\na")
    waiting.at(50)
    waiting.forward.last.client.pause()
    waiting.at(1000)
    assert not waiting.wire.closed
    waiting.forward.last.client.resume()
    waiting.at(9)
    assert not waiting.wire.closed
    waiting.at(2)
    assert waiting.wire.closed


async def test_a_slow_reader_is_cut_off():
    slow = edge()
    slow.send(get())
    slow.forward.last.client.send_head(200, (), 1_000_000)
    slow.wire.waiting = 65_536
    slow.http.pause_writing()
    for _ in range(7):
        slow.clock.now += 9
        slow.wire.waiting -= 50
        slow.http._stall.look()
    assert slow.wire.aborted
    slow.http.lost()
    assert slow.forward.last.aborted
    assert slow.told.last.cut == "the client went away"


AUTHORITY = pki.Authority.new()


def greedy(server) -> None:
    """An upstream that sends whatever is taken, and stops when told."""
    server.client.send_head(200, (), None)
    for _ in range(2000):
        if server.paused:
            break
        server.client.send_body(b"x" * 65_536)


def ask_and_read_nothing(port: int, *, secure: bool) -> socket.socket:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(5)
    raw.connect(("127.0.0.1", port))
    client = pki.client_context(AUTHORITY).wrap_socket(raw, server_hostname="localhost") if secure else raw
    client.sendall(get(host=b"localhost"))
    return client


@pytest.mark.slow
@pytest.mark.parametrize("secure", [False, True])
async def test_over_real_sockets_a_client_that_reads_nothing_is_cut_off(secure: bool, tmp_path: Path) -> None:
    edge = Edge(forward=RecordingForward(greedy), patience=Patience(body=0.3, minimum_rate=100))
    edge.site.monotonic = time.monotonic
    of = listener_settings(tmp_path, AUTHORITY) if secure else None
    async with serving(of) as service:
        service.make = lambda: Http1(edge.site)  # type: ignore[assignment,return-value]
        client = await asyncio.to_thread(ask_and_read_nothing, service.port, secure=secure)
        with client:
            await until(lambda: edge.forward.servers and edge.forward.last.paused)
            assert not edge.told.all
            await until(lambda: edge.told.all)
        assert edge.told.last.cut == "the client went away"
        assert edge.forward.last.aborted
