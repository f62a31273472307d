"""Memory and file descriptors stay where they are over many requests and many handshakes."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.functional.gateway import Gateway
from tests.pki import client_context
from tests.resilience.load import Load
from tests.resilience.measures import FULL, descriptors, resident_kb
from tests.resilience.upstream import Upstream

pytestmark = pytest.mark.slow

REQUESTS = 1_000_000 if FULL else 30_000
HANDSHAKES = 100_000 if FULL else 6_000
WARM_REQUESTS = REQUESTS // 3
WARM_HANDSHAKES = 1_000
"""How many come before the first look, while memories of bounded size fill."""
GROWTH_KB = 48 * 1024 if FULL else 16 * 1024
CLIENTS = 32
AT_ONCE = 20


@pytest.fixture
async def gateway(tmp_path):
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream())
        limits = "{storage: 'machine://', rules: [{key: source.address, rate: 1000000/second}]}"
        options = {"upstream": f'{{servers: ["{upstream.url}"]}}', "require": "[certificate]", "limits": limits}
        yield await stack.enter_async_context(Gateway(tmp_path, **options))


@pytest.fixture
def context(gateway, tmp_path):
    return client_context(gateway.ca, gateway.client, tmp_path)


async def test_over_many_requests(gateway, context):
    async with Load(gateway.port, context, CLIENTS, patience=3600) as load:
        await load.more(WARM_REQUESTS)
        memory, files = resident_kb(gateway.pid), descriptors(gateway.pid)
        await load.more(REQUESTS - WARM_REQUESTS)
        assert resident_kb(gateway.pid) - memory < GROWTH_KB
        assert descriptors(gateway.pid) <= files + CLIENTS
        assert set(load.statuses) == {200}
        assert not load.wrong
        assert not load.cut


async def handshake(gateway, context):
    """A connection with one request; the client ends it properly, or not at all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=context, server_hostname="localhost")
    writer.write(b"GET /once HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.transport.abort()


async def test_over_many_handshakes(gateway, context):
    async def many(count):
        for _ in range(0, count, AT_ONCE):
            await asyncio.gather(*[handshake(gateway, context) for _ in range(AT_ONCE)])

    await many(WARM_HANDSHAKES)
    memory, files = resident_kb(gateway.pid), descriptors(gateway.pid)
    await many(HANDSHAKES - WARM_HANDSHAKES)
    assert resident_kb(gateway.pid) - memory < GROWTH_KB
    assert descriptors(gateway.pid) <= files + AT_ONCE
