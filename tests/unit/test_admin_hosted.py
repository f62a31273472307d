import asyncio
import socket

import pytest
from aiohttp import web

from ztproxy.admin import hosted
from ztproxy.admin.hosted import Hosted


@pytest.fixture
async def port(monkeypatch):
    monkeypatch.setattr(hosted, "MOST_CONNECTIONS", 3)

    async def ok(_request):
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_get("/", ok)
    sock = socket.create_server(("127.0.0.1", 0))
    served = await Hosted.start(application, sock, lifetime=0.3)
    yield sock.getsockname()[1]
    await served.close()


async def asked(port, head=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    return reader, writer


async def answer(port, head=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
    reader, writer = await asked(port, head)
    got = await asyncio.wait_for(reader.read(64), 5)
    writer.close()
    return got


async def test_a_connection_lasts_only_so_long_whatever_happens_on_it(port):
    reader, writer = await asked(port, b"GET / HTTP/1.1\r\nHo")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()


async def test_too_many_connections_are_closed_at_once_and_later_ones_served(port):
    held = [await asked(port, b"GET / HT") for _ in range(3)]
    assert await answer(port) == b""
    for _, writer in held:
        writer.close()
    async with asyncio.timeout(5):
        while not (await answer(port)).startswith(b"HTTP/1.1 200"):
            await asyncio.sleep(0.01)


async def test_heads_are_small(port):
    assert b" 400 " in await answer(port, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n")
