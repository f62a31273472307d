"""Token buckets in Redis, shared by several processes: one script, one round trip, no waiting for a dead server."""

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from urllib.parse import urlsplit

from limits.aio.storage import RedisStorage
from limits.errors import ConfigurationError, StorageError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError

from ztproxy.limits.token_bucket import BucketState, Charge, TokenBucketSupport
from ztproxy.store.rounds import RedisAwayError, Rounds

_SCRIPT = files("ztproxy.limits").joinpath("gcra.lua").read_text()


class TokenBucketRedisStorage(RedisStorage, TokenBucketSupport):
    """The library's Redis storage with token buckets beside its windows."""

    def __init__(
        self, uri: str, *, password: str | None, timeout: float, report: Callable[[str], None] = lambda _: None
    ) -> None:
        """Connect when first needed.

        Args:
            uri: redis:// or rediss://, as in the configuration.
            password: the server's, if it is not in the URI.
            timeout: longest wait for an answer, connecting included, in seconds.
            report: told when the server goes away and when it is back.

        Raises:
            ValueError: the URI cannot be read, or there are two passwords.
        """
        options: dict[str, object] = {
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            # A kept connection may have died with its server: one more attempt. Charging twice errs to the safe side.
            "retry": Retry(NoBackoff(), 1, supported_errors=(LostConnection,)),
        }
        if password is not None:
            if urlsplit(uri).password is not None:
                raise ValueError("limits.storage names a password, and limits.password another: say it once")
            options["password"] = password
        try:
            super().__init__(_with_port(uri), implementation="redispy", key_prefix="ztproxy", **options)  # type: ignore[arg-type]  # redis-py takes more kinds of options than the library declares
        except ConfigurationError as wrong:
            raise ValueError(f"limits.storage: {wrong}") from None
        client = self.bridge.get_connection()  # type: ignore[attr-defined]  # of the redis-py bridge
        self._rounds = Rounds(client, _SCRIPT, timeout=timeout, name="limits", report=report)

    @property
    def away(self) -> bool:
        """Whether the server did not answer when last asked."""
        return self._rounds.away

    async def acquire_tokens(self, charges: Sequence[Charge], now: int | None = None) -> Sequence[BucketState]:
        """Charge, by the server's clock unless `now` is given; while the server is away StorageError comes at once."""
        keys = [self.bridge.prefixed_key(_hashed(charge.key)) for charge in charges]
        numbers: list[int | str] = ["" if now is None else now]
        for charge in charges:
            quota = charge.quota
            numbers += (quota.pace, quota.interval, quota.capacity, charge.cost, int(charge.enforced))
        try:
            answer = await self._rounds.ask(keys, numbers)
        except RedisAwayError as wrong:
            raise StorageError(RedisError(str(wrong))) from None
        if not isinstance(answer, list) or len(answer) != 2 * len(charges):
            raise StorageError(RedisError(f"redis answered {answer!r}"))
        return [BucketState(admitted=answer[i] == 1, level=answer[i + 1]) for i in range(0, len(answer), 2)]

    async def close(self) -> None:
        """Give up what is under way and close the connections."""
        await self._rounds.close()


def _hashed(key: str) -> str:
    """Who asks is nobody's business who can read the database; and every key has one length."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _with_port(uri: str) -> str:
    """The URI with its port written out: the library demands one."""
    parts = urlsplit(uri)
    return uri if parts.port else parts._replace(netloc=f"{parts.netloc.rstrip(':')}:6379").geturl()
