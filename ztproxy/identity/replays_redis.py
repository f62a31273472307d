"""Which proofs were used already, by all machines that share a Redis."""

import time
from collections.abc import Callable
from importlib.resources import files
from math import ceil
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection

from ztproxy.identity.replays import StoreAwayError, Use
from ztproxy.store.rounds import RedisAwayError, Rounds

_SCRIPT = files("ztproxy.identity").joinpath("replays.lua").read_text()
_PREFIX = "ztproxy:proofs"


class RedisReplays:
    """Notes each proof by one script. The server must answer, have room, and never forget before its time.

    Args:
        url: redis:// or rediss://, as in the configuration.
        password: the server's, if it has one.
        lasting: seconds that a proof could be used again; since when the server remembers that long is asked of it.
        timeout: longest wait for an answer, connecting included, in seconds.
        report: told when the server goes away and when it is back.

    Raises:
        ValueError: the URL cannot be read.
    """

    kept = None

    def __init__(
        self,
        url: str,
        *,
        password: str | None,
        lasting: float,
        timeout: float,
        report: Callable[[str], None] = lambda _: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        # A kept connection may have died with its server: one more attempt. The first one may have counted: then this
        # one finds the proof used, which errs to the safe side.
        retry = Retry(NoBackoff(), 1, supported_errors=(LostConnection,))
        options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": retry}
        if password is not None:
            options["password"] = password
        client: Redis = Redis.from_url(url, **options)
        self._rounds = Rounds(client, _SCRIPT, timeout=timeout, name="dpop.replay", report=report, fit=never_forgets)
        self._lasting = ceil(lasting * 1000)
        self._about = (f"{_PREFIX}:since:{self._lasting}", f"{_PREFIX}:lasting")
        self._wall = wall
        self._losses = 0
        self._since = 0.0

    @property
    def up(self) -> bool:
        """Whether the server answered when last asked."""
        return not self._rounds.away

    async def use(self, name: bytes, made_at: float, monotonic: float) -> Use:  # noqa: ARG002 - the server's clock counts
        """See `Replays`."""
        keys = (*self._about, f"{_PREFIX}:{name.hex()}")
        try:
            answer = await self._rounds.ask(keys, (self._lasting,))
        except RedisAwayError as wrong:
            raise StoreAwayError(str(wrong)) from None
        if not (isinstance(answer, list) and len(answer) == 2 and all(isinstance(part, int) for part in answer)):  # noqa: PLR2004 - as the script answers
            raise StoreAwayError(f"redis answered {answer!r}")
        if self._rounds.losses != self._losses:
            # It was away: what took its place may lack what was noted last.
            self._losses, self._since = self._rounds.losses, self._wall()
        first, since = answer
        if made_at < max(since, self._since):
            return Use.UNKNOWN
        return Use.FIRST if first == 1 else Use.REPEATED

    async def close(self) -> None:
        """Close the connections."""
        await self._rounds.close()


async def never_forgets(server: Redis) -> None:
    """Refuse a server that makes room by forgetting what still counts."""
    memory = await server.info("memory")
    policy = memory.get("maxmemory_policy")
    if memory.get("maxmemory") and policy != "noeviction":
        raise RedisAwayError(f"its maxmemory-policy is {policy}: it would forget used proofs; set noeviction")
