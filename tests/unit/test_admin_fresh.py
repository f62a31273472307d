import asyncio

import pytest

from tests.fakes import FakeClock
from ztproxy.admin.fresh import Fresh


async def test_one_who_leaves_takes_the_answer_from_nobody():
    going = asyncio.Event()

    async def make():
        await going.wait()
        return 7

    fresh = Fresh(make, 1.0, FakeClock())
    leaving, staying = asyncio.ensure_future(fresh()), asyncio.ensure_future(fresh())
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    going.set()
    assert await staying == 7


async def test_a_failure_is_not_kept():
    answers = [OSError("away"), 7]

    async def make():
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    fresh = Fresh(make, 1.0, FakeClock())
    with pytest.raises(OSError, match="away"):
        await fresh()
    assert await fresh() == 7
    assert await fresh() == 7
