"""Token buckets in Redis, shared by several processes: one script, one round trip, no waiting for a dead server."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from urllib.parse import urlsplit

from limits.aio.storage import RedisStorage
from limits.errors import ConfigurationError, StorageError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import NoScriptError, RedisError

from ztproxy.limits.token_bucket import BucketState, Charge, TokenBucketSupport

_SCRIPT = files("ztproxy.limits").joinpath("gcra.lua").read_text()
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()  # what EVALSHA names scripts by
_WAITING = 1024
"""Requests that may wait for the next one, so nobody waits for two; more are refused."""
_PROBES = (0.1, 0.2, 0.4, 1.0)
"""Seconds between attempts to reach a server that is away."""

_Waiting = tuple[Sequence[Charge], int | None, asyncio.Future[Sequence[BucketState]]]


class TokenBucketRedisStorage(RedisStorage, TokenBucketSupport):
    """The library's Redis storage with token buckets beside its windows.

    Charges that come while a round trip is under way share the next one, over one connection. After a failure
    everything is refused at once, and one probe at a time finds out when the server is back.
    """

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
        self._client = self.bridge.get_connection()  # type: ignore[attr-defined]  # of the redis-py bridge
        self._timeout = timeout
        self._report = report
        self._queue: list[_Waiting] = []
        self._asked: list[_Waiting] = []
        self._round: asyncio.Task[None] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def away(self) -> bool:
        """Whether the server did not answer when last asked."""
        return self._recovery is not None

    async def acquire_tokens(self, charges: Sequence[Charge], now: int | None = None) -> Sequence[BucketState]:
        """Charge, by the server's clock unless `now` is given; while the server is away StorageError comes at once."""
        if self.away or self._closed:
            raise StorageError(RedisError("redis is away"))
        if len(self._queue) >= _WAITING:
            raise StorageError(RedisError("too many requests wait for redis"))
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[BucketState]] = loop.create_future()
        self._queue.append((charges, now, answer))
        if self._round is None:
            self._round = loop.create_task(self._run_rounds())
        return await answer

    async def _run_rounds(self) -> None:
        """Serve what waits until nothing does."""
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                self._asked = batch
                try:
                    async with asyncio.timeout(self._timeout):
                        answers = await self._ask(batch)
                except (RedisError, OSError, TimeoutError) as wrong:
                    self._lost(batch, wrong)
                    return
                _settle(batch, answers)
        finally:
            self._round = None

    async def _ask(self, batch: Sequence[_Waiting]) -> list[object]:
        """One round trip; a second one only when the server does not know the script."""
        answers = await self._pipeline(batch)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            await self._client.script_load(_SCRIPT)
            unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            again = await self._pipeline([batch[place] for place in unknown])
            for place, answer in zip(unknown, again, strict=True):
                answers[place] = answer
        return answers

    async def _pipeline(self, batch: Sequence[_Waiting]) -> list[object]:
        pipeline = self._client.pipeline(transaction=False)
        for charges, now, _ in batch:
            keys = [self.bridge.prefixed_key(_hashed(charge.key)) for charge in charges]
            numbers: list[int | str] = ["" if now is None else now]
            for charge in charges:
                quota = charge.quota
                numbers += (quota.pace, quota.interval, quota.capacity, charge.cost, int(charge.enforced))
            pipeline.evalsha(_SHA, len(keys), *keys, *numbers)
        answers: list[object] = await pipeline.execute(raise_on_error=False)
        return answers

    def _lost(self, batch: Sequence[_Waiting], wrong: Exception) -> None:
        """Refuse everyone who waits, and begin to probe."""
        cause = f"{type(wrong).__name__}: {wrong}"
        self._report(f"limits: redis is away ({cause})")
        waiting, self._queue = [*batch, *self._queue], []
        self._fail(waiting, RedisError(cause))
        self._recovery = asyncio.get_running_loop().create_task(self._recover())

    @staticmethod
    def _fail(waiting: Sequence[_Waiting], wrong: Exception) -> None:
        for _, _, answer in waiting:
            if not answer.done():
                answer.set_exception(StorageError(wrong))

    async def _recover(self) -> None:
        """Ask again and again until the server answers."""
        attempt = 0
        while True:
            await asyncio.sleep(_PROBES[min(attempt, len(_PROBES) - 1)])
            attempt += 1
            try:
                async with asyncio.timeout(self._timeout):
                    await self._client.script_load(_SCRIPT)
                break
            except (RedisError, OSError, TimeoutError):
                continue
        self._recovery = None
        self._report("limits: redis is back")

    async def close(self) -> None:
        """Give up what is under way and close the connections."""
        self._closed = True
        for task in (self._round, self._recovery):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        self._fail([*self._asked, *self._queue], RedisError("the proxy is stopping"))
        await self._client.aclose()


def _settle(batch: Sequence[_Waiting], answers: Sequence[object]) -> None:
    for (charges, _, waiting), answer in zip(batch, answers, strict=True):
        if waiting.done():  # its request is gone
            continue
        if isinstance(answer, list) and len(answer) == 2 * len(charges):
            waiting.set_result(
                [BucketState(admitted=answer[i] == 1, level=answer[i + 1]) for i in range(0, len(answer), 2)]
            )
        else:
            waiting.set_exception(StorageError(RedisError(f"redis answered {answer!r}")))


def _hashed(key: str) -> str:
    """Who asks is nobody's business who can read the database; and every key has one length."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _with_port(uri: str) -> str:
    """The URI with its port written out: the library demands one."""
    parts = urlsplit(uri)
    return uri if parts.port else parts._replace(netloc=f"{parts.netloc.rstrip(':')}:6379").geturl()
