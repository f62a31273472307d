"""The edge's limits as configured in the real program."""

import asyncio
import contextlib
import json
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from tests.functional.gateway import Gateway
from tests.pki import client_context

pytestmark = pytest.mark.slow
ASKED = b"GET /x HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 1.1.1.1\r\nConnection: close\r\n\r\n"


async def test_a_process_that_has_no_memory_left_refuses_and_says_when_to_come_back(tmp_path: Path) -> None:
    async with Gateway(tmp_path, more="overload: {memory: 16MiB, retry_after: 7s}") as gateway:
        async with gateway.session() as session, asyncio.timeout(20):
            while True:  # memory is looked at a few times a second
                async with session.get("/x", headers=gateway.bearer()) as answer:
                    if answer.status == 503:
                        assert answer.headers["Retry-After"] == "7"
                        assert (await answer.json())["reason"] == "overloaded"
                        break
        seen = len(gateway.seen)
        async with gateway.session() as session, session.get("/x", headers=gateway.bearer()) as answer:
            assert answer.status == 503
        assert len(gateway.seen) == seen


async def test_content_is_bounded_by_route(tmp_path: Path) -> None:
    async with Gateway(tmp_path, more="requests: {maximum_body: 1KiB}") as gateway, gateway.session() as session:

        async def chunks(count: int):
            for _ in range(count):
                yield b"x" * 256

        async def post(body: object) -> int:
            headers = gateway.bearer()
            async with session.post("/x", data=body, headers=headers) as answer:
                return answer.status

        assert await post(b"x" * 1024) == 200
        assert await post(chunks(4)) == 200
        assert len(gateway.seen) == 2
        assert await post(b"x" * 1025) == 413
        with contextlib.suppress(aiohttp.ClientConnectionError):  # if it goes on sending it may not see the answer
            assert await post(chunks(5)) == 413
        assert len(gateway.seen) == 2


async def test_one_client_cannot_take_all_connections(tmp_path: Path) -> None:
    async with Gateway(tmp_path, more="connections: {per_source: 3, handshake_timeout: 30s}") as gateway:
        mute = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(3)]
        async with gateway.session() as session:
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get("/x", headers=gateway.bearer())
            for _, writer in mute:
                writer.close()
                await writer.wait_closed()
            async with session.get("/x", headers=gateway.bearer()) as answer:
                assert answer.status == 200
        assert any("`connections.per_source` is reached" in line for line in [*gateway.said, await gateway.line()])


async def test_a_balancer_says_who_the_client_is(tmp_path: Path) -> None:
    listener = "    proxy_protocol: true\n    trusted_proxies: [127.0.0.0/8]"
    async with Gateway(tmp_path, listener=listener, require="[certificate]") as gateway:
        context = client_context(gateway.ca, gateway.client, tmp_path)

        def ask(header: bytes) -> bytes:
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as raw, contextlib.suppress(OSError):
                raw.sendall(header)
                with context.wrap_socket(raw, server_hostname="localhost") as tls:
                    tls.sendall(ASKED)
                    return tls.recv(15)
            return b""

        assert await asyncio.to_thread(ask, b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 443\r\n") == b"HTTP/1.1 200 OK"
        assert gateway.seen[0]["headers"]["X-Forwarded-For"] == "203.0.113.7"
        assert await asyncio.to_thread(ask, b"") == b""
        await gateway.stop(signal.SIGTERM)
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert [(line["client"], line.get("cause")) for line in lines] == [
        ("203.0.113.7", None),
        ("127.0.0.1", "no PROXY header"),
    ]


async def test_a_misdirected_request_is_charged(tmp_path: Path) -> None:
    limits = "{rules: [{key: source.address, rate: 1/hour, burst: 2}]}"
    async with Gateway(tmp_path, limits=limits) as gateway, gateway.session() as session:
        statuses = []
        for _ in range(3):
            async with session.get("/x", headers={"Host": "elsewhere.test"}) as answer:
                statuses.append(answer.status)
        assert statuses == [421, 421, 429]
        await gateway.stop(signal.SIGTERM)
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["misdirected-request"] * 2 + ["rate-limited"]
