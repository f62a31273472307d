"""Finding a server that can be connected to."""

from typing import NamedTuple

from ztproxy.model import Refusal
from ztproxy.upstream.connection import Connection
from ztproxy.upstream.pool import Pool


class Found(NamedTuple):
    """A connection, the pool it belongs to, and the servers not tried yet."""

    pool: Pool
    connection: Connection
    untried: tuple[Pool, ...]


async def find(pool: Pool, untried: tuple[Pool, ...]) -> Found | Refusal:
    """Connect to a server, else to the next: nothing was sent, so any may be tried. Refuses as the last one did."""
    while True:
        made = await pool.connect()
        if isinstance(made, Connection):
            return Found(pool, made, untried)
        if not untried:
            return made
        pool, untried = untried[0], untried[1:]
        idle = pool.take()
        if idle is not None:
            return Found(pool, idle, untried)
