"""A minute of reloads under load: nobody notices, nothing is left behind."""

import asyncio
import os
import signal
import socket

import pytest

from tests.functional.gateway import Gateway
from tests.functional.test_always_on import ALLOW, Load, rego, until_said, workers_of
from ztproxy.policy.embedded import MEMORY_LIMIT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="needs sockets that are handed on to processes"),
]
SECONDS = int(os.environ.get("ZTPROXY_RESILIENCE_SECONDS", "60"))
GROWTH = MEMORY_LIMIT
"""Octets that a worker may have grown by: the policy engine's collector lets its heap come near its limit first."""


async def test_a_reload_every_second_for_a_minute_fails_no_request(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW, more="workers: 2") as gateway:
        async with Load(gateway) as load:
            reloads, settled = 0, []
            async with asyncio.timeout(SECONDS + 60):
                end = asyncio.get_running_loop().time() + SECONDS
                while asyncio.get_running_loop().time() < end:
                    rego(gateway, ALLOW + f"# {reloads}\n")
                    gateway.signal(signal.SIGHUP)
                    await until_said(gateway, f"reloaded (signal): generation {reloads + 2}")
                    reloads += 1
                    if reloads == SECONDS // 3:
                        settled = [resident(worker) for worker in workers_of(gateway)]
                    await asyncio.sleep(1)
        assert not load.failures
        assert set(load.statuses) == {200}
        grown = [resident(worker) - before for worker, before in zip(workers_of(gateway), settled, strict=True)]
        assert max(grown) < GROWTH
        assert [open_files(worker) < 100 for worker in workers_of(gateway)] == [True, True]


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
