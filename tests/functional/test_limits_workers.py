"""Several workers of the real program admit together what is configured, also when one of them is killed."""

import asyncio
import os
import signal
from collections import Counter

import aiohttp
import pytest

from tests.functional.gateway import Gateway
from tests.functional.test_always_on import until_said, workers_of

pytestmark = pytest.mark.slow
BURST = 60


async def ask(gateway: Gateway) -> int:
    """One request on a connection of its own: any worker may get it. 0: it was cut."""
    try:
        async with gateway.session() as session, session.get("/x", headers=gateway.bearer()) as response:
            return response.status
    except (OSError, aiohttp.ClientError):
        return 0


async def test_two_workers_admit_the_burst_between_them(tmp_path):
    limits = f"{{storage: 'machine://', rules: [{{key: token.subject, rate: 1/hour, burst: {BURST}}}]}}"
    async with Gateway(tmp_path, limits=limits, more="workers: 2") as gateway:
        killed, _ = workers_of(gateway)
        statuses = Counter(await asyncio.gather(*[ask(gateway) for _ in range(BURST // 2)]))
        assert statuses == {200: BURST // 2}
        os.kill(killed, signal.SIGKILL)
        await until_said(gateway, "worker ")
        for _ in range(4):
            statuses.update(await asyncio.gather(*[ask(gateway) for _ in range(BURST // 2)]))
        cut = statuses.pop(0, 0)
        assert set(statuses) == {200, 429}
        assert BURST - cut <= statuses[200] <= BURST
        assert list((tmp_path / "var" / "machine").iterdir())
