"""Claim: a client that closes its half has its answers, and holds nothing with what it did not finish."""

import asyncio
import contextlib
import ssl

import pytest

from tests import pki
from tests.edge import Edge, get
from tests.fakes import RecordingForward, RecordingPipeline
from tests.listening import MemoryClient, listener_settings, serving, until
from ztproxy.edge.http1 import Http1
from ztproxy.model import Reason

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


def held() -> Edge:
    return Edge(forward=RecordingForward(answer=None))


async def test_a_request_in_full_is_answered():
    edge = held()
    edge.send(get())
    edge.http.ended()
    assert not edge.wire.closed
    assert not edge.forward.last.aborted
    edge.forward.last.respond()
    answer = edge.wire.taken()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close\r\n" in answer
    assert edge.wire.closed


async def test_so_are_all_that_were_asked_before():
    edge = held()
    edge.send(get(b"/1") + get(b"/2" + b"x" * 3000) + get(b"/3"))
    edge.http.ended()
    for _ in range(3):
        assert not edge.wire.closed
        edge.forward.last.respond()
    assert edge.wire.taken().count(b"HTTP/1.1 200 ") == 3
    assert edge.wire.closed
    assert len(edge.told.all) == 3


@pytest.mark.parametrize("rest", [b"Content-Length: 3\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"])
async def test_a_body_that_will_never_come_ends_it(rest):
    edge = held()
    edge.send(POST + rest)
    edge.http.ended()
    assert edge.forward.last.aborted
    assert not edge.forward.last.ended
    assert edge.wire.closed
    assert edge.told.last.cut == "the client went away"


async def test_one_that_will_never_come_ends_after_the_one_before_is_answered():
    edge = held()
    edge.send(get(b"/1") + POST + b"Content-Length: 3\r\n\r\nab")
    edge.http.ended()
    edge.forward.last.respond()
    assert edge.wire.taken().startswith(b"HTTP/1.1 200 ")
    assert edge.wire.closed
    assert len(edge.forward.servers) == 1


async def test_a_large_body_is_taken_to_its_end():
    edge = Edge(forward=RecordingForward(answer=None))
    edge.wire.paused = True
    edge.http._backlog = get(b"/1") + POST + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000
    edge.http.ended()
    edge.forward.last.respond()
    assert edge.forward.last.body == b"x" * 200_000
    edge.forward.last.respond()
    assert edge.wire.taken().count(b"HTTP/1.1 200 ") == 2
    assert edge.wire.closed


async def test_what_is_malformed_is_still_told():
    edge = held()
    edge.http._backlog = get(b"/1") + POST + b"Transfer-Encoding: chunked\r\n\r\nxyz"
    edge.http.ended()
    edge.forward.last.respond()
    answer = edge.wire.taken()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400 " in answer
    assert edge.wire.closed


@pytest.mark.parametrize("octets", [b"", b"\r\n", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_less_than_a_request_is_nothing(octets):
    edge = held()
    assert edge.send(octets) == b""
    edge.http.ended()
    assert edge.wire.closed
    assert not edge.told.all


async def test_going_away_before_the_decision_is_told_as_such():
    async def never(_arrived):
        await asyncio.get_running_loop().create_future()

    edge = Edge(RecordingPipeline(never))
    edge.send(get(b"/slow"))
    edge.http.lost()
    assert edge.told.refusal.reason is Reason.CLIENT_GONE
    assert edge.told.last.status == 0
    assert edge.told.last.outcome.at.path == "/slow"


async def test_over_a_real_socket():
    edge = held()
    async with serving() as service:
        service.make = lambda: Http1(edge.site)
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(get(b"/x"))
        writer.write_eof()
        async with asyncio.timeout(5):
            while not edge.forward.servers or not service.applications[0]._half_closed:
                await asyncio.sleep(0)
            edge.forward.last.respond(body=b"answered")
            assert (await reader.read()).endswith(b"answered")
        writer.close()


AUTHORITY = pki.Authority.new()


@pytest.mark.parametrize("leaves", [False, True])
async def test_over_tls_close_notify_alone_is_half_an_end_and_the_sockets_is_a_whole_one(leaves, tmp_path):
    edge = held()
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        service.make = lambda: Http1(edge.site)
        client = await MemoryClient(pki.client_context(AUTHORITY)).connect(service.port)
        client.tls.write(get(host=b"localhost"))
        client.send()
        await until(lambda: edge.forward.servers)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.unwrap()
        client.send()
        await until(lambda: service.applications[0]._half_closed)
        if leaves:
            client.writer.close()
            await until(lambda: edge.forward.last.aborted)
            assert edge.told.last.cut == "the client went away"
        else:
            edge.forward.last.respond(body=b"answered")
            assert (await client.read_record()).endswith(b"answered")
            client.writer.close()
