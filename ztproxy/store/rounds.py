"""A script in Redis, asked by many at once: what comes while a round trip is under way shares the next one.

Nobody waits for a server that is away: after a failure everything is refused at once, and one probe at a time finds out
when it is back.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

_WAITING = 1024
"""Questions that may wait for the next round trip, so nobody waits for two; more are refused."""
_PROBES = (0.1, 0.2, 0.4, 1.0)
"""Seconds between attempts to reach a server that is away."""

Argument = bytes | str | int
_Waiting = tuple[Sequence[str], Sequence[Argument], "asyncio.Future[object]"]


class RedisAwayError(Exception):
    """The server did not answer, or answered with an error: the message says which."""


class Rounds:
    """One script on one server.

    Args:
        client: to the server; it connects when first needed.
        script: Lua.
        timeout: longest wait for an answer, connecting included, in seconds.
        name: of what is kept there, for reports.
        report: told when the server goes away and when it is back.
        fit: asked once whenever the server comes to be used; raises `RedisAwayError` for one that is not fit for it.
    """

    def __init__(
        self,
        client: Redis,
        script: str,
        *,
        timeout: float,
        name: str,
        report: Callable[[str], None] = lambda _: None,
        fit: Callable[[Redis], Awaitable[None]] | None = None,
    ) -> None:
        self._client = client
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()  # what EVALSHA names scripts by
        self._timeout = timeout
        self._name = name
        self._report = report
        self._fit = fit
        self._found_fit = False
        self._queue: list[_Waiting] = []
        self._asked: list[_Waiting] = []
        self._round: asyncio.Task[None] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._closed = False
        self.losses = 0
        """How often it went away."""

    @property
    def away(self) -> bool:
        """Whether the server did not answer when last asked."""
        return self._recovery is not None

    async def ask(self, keys: Sequence[str], arguments: Sequence[Argument]) -> object:
        """The script's answer; while the server is away `RedisAwayError` comes at once."""
        if self._closed or self.away:
            raise RedisAwayError("redis is away")
        if len(self._queue) >= _WAITING:
            raise RedisAwayError("too many requests wait for redis")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()
        self._queue.append((keys, arguments, answer))
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
                        await self._make_sure()
                        answers = await self._ask(batch)
                except (RedisAwayError, RedisError, OSError, TimeoutError) as wrong:
                    self._lost(batch, wrong)
                    return
                _settle(batch, answers)
        finally:
            self._round = None

    async def _make_sure(self) -> None:
        if self._fit is not None and not self._found_fit:
            await self._fit(self._client)
            self._found_fit = True

    async def _ask(self, batch: Sequence[_Waiting]) -> list[object]:
        """One round trip; a second one only when the server does not know the script."""
        answers = await self._pipeline(batch)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            await self._client.script_load(self._script)
            unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            again = await self._pipeline([batch[place] for place in unknown])
            for place, answer in zip(unknown, again, strict=True):
                answers[place] = answer
        return answers

    async def _pipeline(self, batch: Sequence[_Waiting]) -> list[object]:
        pipeline = self._client.pipeline(transaction=False)
        for keys, arguments, _ in batch:
            pipeline.evalsha(self._sha, len(keys), *keys, *arguments)  # type: ignore[unused-awaitable]  # it queues
        answers: list[object] = await pipeline.execute(raise_on_error=False)
        return answers

    def _lost(self, batch: Sequence[_Waiting], wrong: Exception) -> None:
        """Refuse everyone who waits, and begin to probe."""
        cause = str(wrong) if isinstance(wrong, RedisAwayError) else f"{type(wrong).__name__}: {wrong}"
        self.losses += 1
        self._found_fit = False
        self._report(f"{self._name}: redis is away ({cause})")
        waiting, self._queue = [*batch, *self._queue], []
        _fail(waiting, cause)
        self._recovery = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        """Ask again and again until the server answers."""
        attempt = 0
        while True:
            await asyncio.sleep(_PROBES[min(attempt, len(_PROBES) - 1)])
            attempt += 1
            try:
                async with asyncio.timeout(self._timeout):
                    await self._client.script_load(self._script)
                    await self._make_sure()
                break
            except (RedisAwayError, RedisError, OSError, TimeoutError):
                continue
        self._recovery = None
        self._report(f"{self._name}: redis is back")

    async def close(self) -> None:
        """Give up what is under way and close the connections."""
        self._closed = True
        for task in (self._round, self._recovery):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        _fail([*self._asked, *self._queue], "the proxy is stopping")
        await self._client.aclose()


def _fail(waiting: Sequence[_Waiting], cause: str) -> None:
    for _, _, answer in waiting:
        if not answer.done():
            answer.set_exception(RedisAwayError(cause))


def _settle(batch: Sequence[_Waiting], answers: Sequence[object]) -> None:
    for (_, _, waiting), answer in zip(batch, answers, strict=True):
        if waiting.done():  # its request is gone
            continue
        if isinstance(answer, Exception):
            waiting.set_exception(RedisAwayError(f"redis answered {type(answer).__name__}: {answer}"))
        else:
            waiting.set_result(answer)
