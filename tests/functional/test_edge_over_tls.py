"""HTTP/1.1 and TLS together, over real sockets, with the rest of the proxy as doubles."""

import asyncio
import contextlib
import gc
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests import pki
from tests.fakes import RecordingForward, RecordingPipeline, RecordingServer, Told
from tests.listening import PATIENCE, MemoryClient, asking, dial, listener_settings, receive, until
from ztproxy.edge import contexts
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.contexts import EdgeTls
from ztproxy.edge.exchange import Exchange
from ztproxy.edge.http1 import Http1
from ztproxy.edge.listener import Listener, bind_socket
from ztproxy.edge.reading import Reading
from ztproxy.edge.requests import Requests
from ztproxy.edge.site import Site
from ztproxy.edge.tls import TlsWire
from ztproxy.identity import describe
from ztproxy.model import Certificate

AUTHORITY = pki.Authority.new()
CLIENT = AUTHORITY.issue("alice", uri=["spiffe://corp.example/alice"])
GET = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Running:
    def __init__(self, listener: Listener, pipeline: RecordingPipeline, forward: RecordingForward, told: Told) -> None:
        self.listener, self.pipeline, self.forward, self.told = listener, pipeline, forward, told


@contextlib.asynccontextmanager
async def running(folder: Path, answer=RecordingServer.respond) -> AsyncIterator[Running]:
    configured = listener_settings(folder, AUTHORITY, **asking(folder, AUTHORITY))
    pipeline, forward, told = RecordingPipeline(), RecordingForward(answer), Told()
    site = Site(pipeline=pipeline, forward=forward, finished=told, reading=Reading.of(Cleaning.of()))
    listener = Listener(
        bind_socket(configured.address),
        str(configured.address),
        lambda: Http1(site),
        contexts=contexts.build(configured, time.time()),
        describe=describe,
    )
    await listener.start()
    try:
        yield Running(listener, pipeline, forward, told)
    finally:
        listener.close()
        await asyncio.wait_for(listener.wait_empty(), PATIENCE)


def client(folder: Path) -> ssl.SSLContext:
    return pki.client_context(AUTHORITY, CLIENT, folder)


@contextlib.contextmanager
def talking(proxy: Running, folder: Path) -> Iterator[ssl.SSLSocket]:
    with dial(proxy.listener.port) as raw, client(folder).wrap_socket(raw, server_hostname="localhost") as tls:
        yield tls


def responses(tls: ssl.SSLSocket, count: int) -> bytes:
    got = b""
    while got.count(b"HTTP/1.1 ") < count or not got.endswith(b"ok"):
        data = tls.recv(65536)
        if not data:
            break
        got += data
    return got


async def test_requests_of_a_connection_share_its_certificate(tmp_path: Path) -> None:
    async with running(tmp_path) as proxy:

        def talk() -> list[bytes]:
            with talking(proxy, tmp_path) as tls:
                answers = []
                for _ in range(3):
                    tls.sendall(GET)
                    answers.append(responses(tls, 1))
                tls.sendall(GET * 5)
                answers.append(responses(tls, 5))
                tls.unwrap()
                return answers

        answers = await asyncio.to_thread(talk)
        assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
        assert answers[3].count(b"HTTP/1.1 200 ") == 5
        arrived = proxy.pipeline.arrived
        assert len(arrived) == 8
        assert len({id(one.connection) for one in arrived}) == 1
        certificate = arrived[0].connection.unchecked_certificate
        assert isinstance(certificate, Certificate)
        assert certificate.spiffe_id == "spiffe://corp.example/alice"
        assert certificate.fingerprint == CLIENT.fingerprint
        await until(lambda: proxy.listener.open == 0)


async def test_pipelined_answers_are_one_record(tmp_path: Path) -> None:
    async with running(tmp_path) as proxy:
        tls = await MemoryClient(client(tmp_path)).connect(proxy.listener.port)
        tls.tls.write(GET * 3)
        tls.send()
        assert (await tls.read_record()).count(b"HTTP/1.1 200 ") == 3
        tls.writer.close()


async def test_host_other_than_the_server_name(tmp_path: Path) -> None:
    async with running(tmp_path) as proxy:

        def talk() -> bytes:
            with talking(proxy, tmp_path) as tls:
                tls.sendall(GET.replace(b"localhost", b"other.example"))
                return tls.recv(65536)

        assert (await asyncio.to_thread(talk)).startswith(b"HTTP/1.1 421 ")


async def test_malformed_request_is_answered_before_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as proxy:

        def talk() -> bytes:
            with dial(proxy.listener.port) as raw:
                context = client(tmp_path)
                with context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
                    tls.sendall(GET.replace(b"Host: localhost", b"Host : localhost") + b"z" * 500_000)
                    return receive(tls, 1_000_000)  # raises on an end without close_notify

        answer = await asyncio.to_thread(talk)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1") == 1
        assert proxy.pipeline.arrived == []


@pytest.mark.slow
async def test_large_answer_waits_for_a_slow_reader(tmp_path: Path) -> None:
    servers: list[RecordingServer] = []
    async with running(tmp_path, servers.append) as proxy:
        pause = asyncio.Event()
        loop = asyncio.get_running_loop()

        def talk() -> int:
            with talking(proxy, tmp_path) as tls:
                tls.sendall(GET)
                asyncio.run_coroutine_threadsafe(pause.wait(), loop).result(PATIENCE)
                return receive(tls, 8_000_000).count(b"y")

        task = asyncio.create_task(asyncio.to_thread(talk))
        await until(lambda: servers)
        server = servers[0]
        server.client.send_head(200, (), 8_000_000)
        for _ in range(8):
            server.client.send_body(b"y" * 1_000_000)
        await until(lambda: server.paused)
        pause.set()
        await until(lambda: not server.paused)
        server.client.send_end()
        assert await task > 7_999_000


async def test_a_connection_that_is_gone_is_forgotten_without_the_collector(tmp_path):
    """What the collector has to find waits for it: a hundred megabytes where many connections come and go."""

    def ask(proxy):
        with talking(proxy, tmp_path) as tls:
            tls.sendall(GET + b"POST /y HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
            receive(tls, 200)

    async with running(tmp_path) as proxy:
        await asyncio.to_thread(ask, proxy)
        await proxy.listener.wait_empty()
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                await asyncio.to_thread(ask, proxy)
            await proxy.listener.wait_empty()
            proxy.forward.servers.clear()  # the doubles keep what they saw
            left = [one for one in gc.get_objects() if type(one) in (Http1, TlsWire, EdgeTls, Requests, Exchange)]
        finally:
            gc.enable()
        assert left == []
