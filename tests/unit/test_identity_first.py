import asyncio

import pytest

from ztproxy.identity.revocation.first import begin, end, ended_within


async def test_whoever_waits_goes_on_when_it_has_ended_or_takes_too_long():
    first = begin(0.0)
    waiting = asyncio.ensure_future(ended_within(first, 60))
    await asyncio.sleep(0)
    assert not waiting.done()
    end(first)
    end(first)
    await waiting
    await ended_within(begin(0.0), 0.001)


async def test_whoever_gives_up_leaves_it_to_others():
    first = begin(0.0)
    one, two = (asyncio.ensure_future(ended_within(first, 60)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert not first.ended.cancelled()
    end(first)
    await two
