"""Asking servers whether they are well: a GET now and then, over connections of its own."""

import asyncio
from collections.abc import Callable

from ztproxy.config.upstreams import Health
from ztproxy.model import Refusal
from ztproxy.upstream.cluster import Cluster
from ztproxy.upstream.connection import Connection
from ztproxy.upstream.member import Member
from ztproxy.upstream.pool import Pool

_FIRST_WITHIN = 1.0
"""Seconds after the start in which every server is asked for the first time."""
_JITTER = 0.2
"""The part of the interval that chance moves: servers are not asked all at once, nor by all workers at once."""


class Checks:
    """Asks every server of an upstream again and again, from `start` to `stop`.

    Args:
        cluster: is told the results.
        health: what is asked, and how often.
        random: numbers in [0, 1).
    """

    def __init__(self, cluster: Cluster, health: Health, random: Callable[[], float]) -> None:
        self._cluster = cluster
        self._health = health
        self._random = random
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask from now on; nothing changes where that is so already."""
        self._tasks = self._tasks or [loop.create_task(self._watch(member)) for member in self._cluster.members]

    def stop(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _watch(self, member: Member) -> None:
        health, loop = self._health, asyncio.get_running_loop()
        await asyncio.sleep(min(health.interval, _FIRST_WITHIN) * self._random())
        while True:
            try:
                good = await is_well(member.pool, health)
            except Exception as bug:  # noqa: BLE001 - as the loop itself does; a check that ended would stand still for ever
                loop.call_exception_handler({"message": "checking a server failed", "exception": bug})
                good = False
            self._cluster.checked(member, loop.time(), good=good)
            await asyncio.sleep(health.interval * (1 + _JITTER * (self._random() - 0.5)))


async def is_well(pool: Pool, health: Health) -> bool:
    """Whether a server answers with an expected status in time."""
    try:
        async with asyncio.timeout(health.timeout):
            made = await pool.connect()
            if isinstance(made, Refusal):
                return False
            try:
                return await _Probe(made, health, pool.host).answered
            finally:
                made.discard()
    except TimeoutError:
        return False


class _Probe:
    """The user of a connection that asks once; its connection serves nobody else."""

    switched = False

    def __init__(self, connection: Connection, health: Health, host: bytes) -> None:
        self.answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._reader = connection.reader
        self._statuses = frozenset(health.status)
        connection.begin(self, asks_head=False, asks_switch=False)
        host = host if health.host is None else health.host.encode("ascii")
        connection.transport.write(
            b"GET %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: ztproxy-health\r\nConnection: close\r\n\r\n"
            % (health.path.encode("ascii"), host)
        )

    def on_response(self) -> None:
        """The status is what counts; what follows is not read."""
        if self._reader.problem is not None:
            self._say(good=False)
        elif self._reader.head is not None:
            self._say(good=self._reader.status in self._statuses)

    def on_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - whatever it was, there is no answer
        """The server closed before it answered."""
        self._say(good=False)

    def on_switched_data(self, data: bytes) -> None:
        """Nothing is switched."""

    def on_full(self) -> None:
        """A hundred octets fill nothing."""

    def on_drained(self) -> None:
        """Likewise."""

    def _say(self, *, good: bool) -> None:
        if not self.answered.done():
            self.answered.set_result(good)
