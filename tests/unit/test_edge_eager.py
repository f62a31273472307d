"""A coroutine that does not suspend costs no task; one that does loses nothing by having begun without."""

import asyncio

import pytest

from ztproxy.edge import eager
from ztproxy.turn import Later


async def at_once(value):
    return value


async def test_what_does_not_suspend_gives_its_result_and_no_task():
    before = asyncio.all_tasks()
    assert eager.run(at_once(7)) == 7
    assert asyncio.all_tasks() == before


async def test_what_is_raised_at_once_is_raised_at_once():
    async def fails():
        raise KeyError("x")

    with pytest.raises(KeyError):
        eager.run(fails())


async def test_the_future_that_it_waits_for_is_not_lost():
    first, second = asyncio.get_running_loop().create_future(), asyncio.get_running_loop().create_future()

    async def waits():
        return await first + await second

    task = eager.run(waits())
    first.set_result(1)
    await asyncio.sleep(0)
    second.set_result(2)
    assert await task == 3


async def test_a_future_done_before_the_task_runs_is_seen():
    future = asyncio.get_running_loop().create_future()

    async def waits():
        return await future

    task = eager.run(waits())
    future.set_result("done")
    assert await task == "done"


async def test_a_bare_yield_goes_on():
    async def yields():
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return 1

    assert await eager.run(yields()) == 1


async def test_an_exception_of_what_it_waits_for_reaches_it():
    future = asyncio.get_running_loop().create_future()

    async def catches():
        try:
            await future
        except KeyError:
            return "caught"

    task = eager.run(catches())
    future.set_exception(KeyError())
    assert await task == "caught"


@pytest.mark.parametrize("turns", [0, 1])
async def test_cancelling_reaches_the_coroutine(turns):
    ended = asyncio.Event()

    async def waits():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    task = eager.run(waits())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ended.wait(), 1)


class TestLater:
    async def test_what_waits_for_the_end_of_the_turn_goes_on_there_without_a_task(self):
        first, second, ended = Later(), Later(), []

        async def waits():
            return await first + await second

        before = asyncio.all_tasks()
        waiting = eager.run(waits())
        waiting.add_done_callback(ended.append)
        first.settle(1)
        assert not waiting.done()
        second.settle(2)
        assert waiting.done()
        assert not waiting.cancelled()
        assert waiting.result() == 3
        assert ended == [waiting]
        assert asyncio.all_tasks() == before

    async def test_a_future_after_it_costs_a_task_and_is_not_lost(self):
        later, future = Later(), asyncio.get_running_loop().create_future()
        ended = asyncio.Event()

        async def waits():
            return await later + await future

        waiting = eager.run(waits())
        waiting.add_done_callback(lambda _: ended.set())
        later.settle(1)
        future.set_result(2)
        await ended.wait()
        assert waiting.result() == 3

    async def test_what_is_raised_is_kept_for_who_asks(self):
        later = Later()

        async def fails():
            await later
            raise KeyError("x")

        waiting = eager.run(fails())
        later.settle(None)
        with pytest.raises(KeyError):
            waiting.result()

    @pytest.mark.parametrize("late", [False, True])
    async def test_cancelling_reaches_the_coroutine_and_calls_nobody(self, late):
        later, seen, future = Later(), [], asyncio.get_running_loop().create_future()

        async def waits():
            try:
                await later
                await future
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        waiting = eager.run(waits())
        waiting.add_done_callback(seen.append)
        if late:
            later.settle(None)
            await asyncio.sleep(0)
        waiting.cancel()
        if not late:
            later.settle(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == ["cancelled"]
        assert waiting.cancelled()
        assert waiting.done()

    async def test_a_callback_that_was_taken_back_is_not_called(self):
        later, ended = Later(), []

        async def waits():
            await later

        waiting = eager.run(waits())
        waiting.add_done_callback(ended.append)
        waiting.remove_done_callback(ended.append)
        later.settle(None)
        assert ended == []
