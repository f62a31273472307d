"""A gibibyte, or ten, through the whole program, both ways at once, with its memory flat."""

import aiohttp
import pytest

from tests.functional.gateway import Gateway
from tests.resilience.measures import FULL, resident_kb

pytestmark = pytest.mark.slow

PIECE = b"x" * (1 << 20)
PIECES = 10 * 1024 if FULL else 1024
GROWTH_KB = 48 * 1024
"""What its buffers on both sides, and the collector's slack, may take."""


async def test_it_passes_both_ways_with_memory_flat(tmp_path):
    async def pieces():
        for _ in range(PIECES):
            yield PIECE

    async with Gateway(tmp_path) as gateway, gateway.session() as session:
        await (await session.post("/stream", headers=gateway.bearer(), data=PIECE)).read()
        before = most = resident_kb(gateway.pid)
        received = reads = 0
        post = session.post("/stream", headers=gateway.bearer(), data=pieces(), timeout=aiohttp.ClientTimeout())
        async with post as response:
            async for data in response.content.iter_any():
                received += len(data)
                reads += 1
                if reads % 100 == 0:
                    most = max(most, resident_kb(gateway.pid))
        assert received == PIECES * len(PIECE)
        assert reads > 1000
        assert most - before < GROWTH_KB
