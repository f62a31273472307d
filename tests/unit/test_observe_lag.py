import asyncio

from ztproxy.observe.lag import EVERY, LoopLag


class Timers:
    """A loop whose clock the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.set: list[tuple[float, object, tuple[float, ...]]] = []
        self.cancelled = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when, do, *arguments):
        self.set.append((when, do, arguments))
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    def ring(self, late: float) -> None:
        when, do, arguments = self.set.pop()
        self.now = when + late
        do(*arguments)


def test_it_tells_how_late_each_timer_rang():
    timers, told = Timers(), []
    lag = LoopLag(timers, told.append)
    lag.start()
    timers.ring(0.0)
    timers.ring(0.5)
    timers.ring(-0.001)
    assert [round(one, 6) for one in told] == [0.0, 0.5, 0.0]
    assert [when for when, _, _ in timers.set] == [timers.now + EVERY]
    lag.stop()
    lag.stop()
    assert timers.cancelled == 1


async def test_it_runs_on_a_real_loop():
    told = asyncio.Event()
    lag = LoopLag(asyncio.get_running_loop(), lambda _seconds: told.set())
    lag.start()
    await asyncio.wait_for(told.wait(), 10)
    lag.stop()
