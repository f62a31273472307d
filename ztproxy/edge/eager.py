"""Run a coroutine at once as far as it goes; only one that suspends costs a task, unless to the end of the turn.

In its synchronous part the coroutine has no current task: it must not use `asyncio.timeout` or `current_task`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Generic, TypeVar, cast

from ztproxy.turn import Later

Result = TypeVar("Result")


def run(coroutine: Coroutine[Any, Any, Result]) -> "Result | asyncio.Task[Result] | Continued[Result]":
    """Its result if it did not suspend, else what carries it on. What it raises at once is raised here."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    if isinstance(awaited, Later):
        return Continued(coroutine, awaited)
    return asyncio.get_running_loop().create_task(_carry_on(coroutine, awaited))


class Continued(Generic[Result]):
    """A coroutine that waits for the end of the turn, with those methods of a task that its owner needs."""

    __slots__ = ("_awaited", "_callback", "_cancelled", "_coroutine", "_error", "_result", "_task")

    def __init__(self, coroutine: Coroutine[Any, Any, Result], awaited: Later[Any]) -> None:
        self._coroutine = coroutine
        self._awaited: Later[Any] | None = awaited
        self._task: asyncio.Task[Result] | None = None
        self._callback: Callable[[Any], None] | None = None
        self._result: Result | None = None
        self._error: Exception | None = None
        self._cancelled = False
        awaited.then(self._go_on)

    def done(self) -> bool:
        """Whether it has ended, however that was."""
        return self._awaited is None if self._task is None else self._task.done()

    def cancelled(self) -> bool:
        """Whether it was cancelled before it ended."""
        return self._cancelled if self._task is None else self._task.cancelled()

    def result(self) -> Result:
        """What it returned; raises what it raised."""
        if self._task is not None:
            return self._task.result()
        if self._error is not None:
            raise self._error
        return cast("Result", self._result)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call this when it has ended; there is one such callback."""
        self._callback = callback

    def remove_done_callback(self, _: Callable[[Any], None]) -> None:
        """Call nothing."""
        self._callback = None

    def cancel(self) -> None:
        """End it: what it waits for does not come."""
        self._callback = None
        if self._task is not None:
            self._task.cancel()
        elif self._awaited is not None:
            self._awaited.then(None)
            self._awaited = None
            self._cancelled = True
            with suppress(asyncio.CancelledError, StopIteration):
                self._coroutine.throw(asyncio.CancelledError())

    def _go_on(self) -> None:
        self._awaited = None
        try:
            awaited = self._coroutine.send(None)
        except StopIteration as done:
            self._result = done.value
        except Exception as bug:  # noqa: BLE001 - whoever asks for the result is told
            self._error = bug
        else:
            if isinstance(awaited, Later):
                self._awaited = awaited
                awaited.then(self._go_on)
            else:
                self._task = asyncio.get_running_loop().create_task(_carry_on(self._coroutine, awaited))
                self._task.add_done_callback(self._ended)
            return
        self._ended(self)

    def _ended(self, _: object) -> None:
        if self._callback is not None:
            self._callback(self)


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
