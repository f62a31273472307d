"""Our workload identity over the supervisor's life: one source at a time, whose news all workers take up, or none."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from ztproxy.config.settings import Settings
from ztproxy.spiffe.source import Source, key_of, source_of
from ztproxy.spiffe.workload import Workload

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds until what the workers could not take up is tried again: the first time, and at most."""

Say = Callable[[str], None]


class Prepared(msgspec.Struct, frozen=True):
    """A source opened for a configuration that may yet fail, and what it says now; nothing without `spiffe`."""

    key: object = None
    """What makes a source another one."""
    source: Source | None = None
    workload: Workload | None = None


class Identities:
    """The source that serves.

    Args:
        say: tells the operator.
        rotate: has all workers take up what the source says by then; the problems, none when all went well.
    """

    def __init__(self, say: Say, rotate: Callable[[], Awaitable[list[str]]]) -> None:
        self._say = say
        self._rotate = rotate
        self._serving = Prepared()
        self._task: asyncio.Task[None] | None = None
        self._refused = ""
        """Why the workers could not take up what is newest."""

    @property
    def problem(self) -> str:
        """Why what serves may not be what is true by now; empty when all is well."""
        source = self._serving.source
        return self._refused or ("" if source is None else source.problem)

    async def prepare(self, settings: Settings) -> Prepared:
        """What a configuration's workload identity is now. Raises `SpiffeError`; what serves is not changed then."""
        key, serving = key_of(settings), self._serving
        if key == serving.key and serving.source is not None:
            now = await serving.source.now()
            return Prepared(key, serving.source, now if serving.workload is None else now.aged_like(serving.workload))
        source = source_of(settings, self._say)
        if source is None:
            return Prepared()
        try:
            return Prepared(key, source, await source.now())
        except BaseException:
            source.close()
            raise

    def forget(self, prepared: Prepared) -> None:
        """It came to nothing."""
        if prepared.source is not None and prepared.source is not self._serving.source:
            prepared.source.close()

    def serve(self, prepared: Prepared) -> None:
        """The workers serve by it: from now on its news is theirs."""
        before, self._serving, self._refused = self._serving, prepared, ""
        if before.source is prepared.source:
            return
        if before.source is not None:
            before.source.close()
        if self._task is not None:
            self._task.cancel()
        self._task = None if prepared.source is None else asyncio.ensure_future(self._follow(prepared.source))

    def close(self) -> None:
        """Follow no more."""
        self.serve(Prepared())

    async def _follow(self, source: Source) -> None:
        """Take up what is new. What the workers cannot take up is tried again, with what is newest by then."""
        while True:
            await source.changed()
            pause = FIRST_PAUSE
            while problems := await self._rotate():
                self._refused = problems[0]
                self._say(f"spiffe: the workers go on with what they had: {problems[0]}")
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
