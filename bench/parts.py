"""Times parts of ztproxy in their place, within whole requests or connections.

By itself in a loop a function finds all it needs in the processor's caches, and may cost a tenth of what it does here:
reading a certificate takes 35 µs so, and over 200 in its place.
"""

import contextlib
import functools
import inspect
import statistics
import time
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

CALIBRATION = 2000


@dataclass(frozen=True)
class Part:
    """A function, and what it is for; what it calls that is a part too is not counted with it."""

    name: str
    where: Any
    attribute: str


class _Stepped:
    """Counts a coroutine only while it runs, and not while it waits."""

    def __init__(self, clock: "Clock", name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._clock, self._name, self._coroutine = clock, name, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        clock, name, step, value = self._clock, self._name, self._coroutine.send, None
        while True:
            began = clock.begin()
            try:
                waited = step(value)
            except StopIteration as done:
                return done.value
            finally:
                clock.end(name, began, clock.around_coroutines)
            value = yield waited


class Clock:
    """What each part took for itself, in nanoseconds, since it was last read."""

    def __init__(self) -> None:
        self._spent: dict[str, int] = {}
        self._inner = [0]
        self._within = 0
        self.around_calls = self.around_coroutines = 0
        """What counting itself takes, beside what it counts: the caller must not be charged with it."""
        self._calibrate()

    def begin(self) -> int:
        self._inner.append(0)
        return time.perf_counter_ns()

    def end(self, name: str, began: int, around: int) -> None:
        elapsed = time.perf_counter_ns() - began
        self._spent[name] += max(0, elapsed - self._inner.pop() - self._within)
        self._inner[-1] += elapsed + around

    def counting(self, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        """Give the same function, counted."""
        self._spent.setdefault(name, 0)

        @functools.wraps(do)
        def counted(*arguments: Any, **named: Any) -> Any:
            began = self.begin()
            try:
                return do(*arguments, **named)
            finally:
                self.end(name, began, self.around_calls)

        @functools.wraps(do)
        async def awaited(*arguments: Any, **named: Any) -> Any:
            return await _Stepped(self, name, do(*arguments, **named))

        return awaited if inspect.iscoroutinefunction(do) else counted

    def _calibrate(self) -> None:
        """Find out what counting costs by itself, so that it is left out."""

        def nothing() -> None: ...

        async def waiting() -> None: ...

        def drive() -> None:
            with contextlib.suppress(StopIteration):
                awaited().send(None)

        called, awaited = self.counting("", nothing), self.counting("", waiting)
        self._within = self._median(called)[0]
        self.around_calls, self.around_coroutines = self._median(called)[1], self._median(drive)[1]
        del self._spent[""]

    def _median(self, do: Callable[[], None]) -> tuple[int, int]:
        """What a call of nothing seems to take, and what is around it."""
        seemed, around = [], []
        for _ in range(CALIBRATION):
            self._spent[""] = 0
            began = time.perf_counter_ns()
            do()
            took = time.perf_counter_ns() - began
            seemed.append(self._spent[""])
            around.append(took - self._spent[""] - self._within)
        return int(statistics.median(seemed)), int(statistics.median(around))

    def read(self) -> Mapping[str, int]:
        """Give what was spent, and begin anew."""
        spent, self._spent = self._spent, dict.fromkeys(self._spent, 0)
        return spent


@contextlib.contextmanager
def timed(parts: Sequence[Part]) -> Iterator[Clock]:
    """Count these parts. What binds them earlier than it calls them must be made in here."""
    clock = Clock()
    with contextlib.ExitStack() as stack:
        for part in parts:
            counted = clock.counting(part.name, getattr(part.where, part.attribute))
            stack.enter_context(mock.patch.object(part.where, part.attribute, counted))
        yield clock


def quartiles(rounds: Sequence[Mapping[str, int]], divisor: int = 1) -> Mapping[str, float]:
    """Give the lower quartile of each part over the rounds, in microseconds; what interrupts is above it."""
    return {name: quartile([one[name] for one in rounds]) / divisor / 1000 for name in rounds[0]}


def quartile(values: Iterable[float]) -> float:
    """Give the lower quartile."""
    return statistics.quantiles(values, n=4)[0]


def lines(parts: Mapping[str, float], whole: float) -> Iterator[str]:
    """Render parts with their share of the whole, and what is left."""
    for name, spent in {**parts, "the rest; below nothing, what counting added": whole - sum(parts.values())}.items():
        yield f"{spent:8.2f} µs {spent / whole:6.1%}  {name}"
    yield f"{whole:8.2f} µs         all of it"
