"""Run a coroutine at once as far as it goes; only one that suspends costs a task.

In its synchronous part the coroutine has no current task: it must not use `asyncio.timeout` or `current_task`.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


def run(coroutine: Coroutine[Any, Any, Result]) -> Result | asyncio.Task[Result]:
    """Its result if it did not suspend, else a task that carries it on. What it raises at once is raised here."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    return asyncio.get_running_loop().create_task(_carry_on(coroutine, awaited))


async def _carry_on(coroutine: Coroutine[Any, Any, Result], awaited: Any) -> Result:
    return await _Begun(coroutine, awaited)


class _Begun(Generic[Result]):
    """A coroutine that already yielded `awaited`: yields it once more, now to a task, and goes on from there."""

    __slots__ = ("_awaited", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, Result], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Result]:
        awaited = self._awaited
        try:
            while True:
                try:
                    sent = yield awaited
                except GeneratorExit:
                    self._coroutine.close()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - cancellation and all else belong to the coroutine
                    awaited = self._coroutine.throw(thrown)
                else:
                    awaited = self._coroutine.send(sent)
        except StopIteration as done:
            result: Result = done.value
            return result
