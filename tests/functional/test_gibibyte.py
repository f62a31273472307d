"""A gibibyte through the whole program, both ways at once, with its memory flat."""

from pathlib import Path

import aiohttp
import pytest

from tests.functional.gateway import Gateway

pytestmark = pytest.mark.slow

PIECE = b"x" * (1 << 20)
PIECES = 1024
GROWTH_KB = 48 * 1024
"""What its buffers on both sides, and the collector's slack, may take."""


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


async def test_a_gibibyte_passes_both_ways_with_memory_flat(tmp_path):
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
