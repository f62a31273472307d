import asyncio

import pytest

from ztproxy.identity.revocation.first import begin, end
from ztproxy.identity.waiting import end_of


async def test_whoever_waits_goes_on_when_it_has_ended_or_takes_too_long():
    first = begin(0.0)
    waiting = asyncio.ensure_future(end_of(first.ended, 60))
    await asyncio.sleep(0)
    assert not waiting.done()
    end(first)
    end(first)
    await waiting
    await end_of(begin(0.0).ended, 0.001)


async def test_whoever_gives_up_leaves_it_to_others():
    first = begin(0.0)
    one, two = (asyncio.ensure_future(end_of(first.ended, 60)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert not first.ended.cancelled()
    end(first)
    await two
