"""What is being asked for the first time, and waiting for it: bounded, and without holding up anybody else."""

import asyncio
from typing import NamedTuple


class First(NamedTuple):
    """What ends when there is a first answer, and since when it has been asked for, on the monotonic clock."""

    ended: "asyncio.Future[None]"
    since: float


def begin(now: float) -> First:
    """It is asked from now on; `now` on the monotonic clock."""
    return First(asyncio.get_running_loop().create_future(), now)


def end(first: First) -> None:
    """There is an answer, or there will be none: whoever waits need not any more."""
    if not first.ended.done():
        first.ended.set_result(None)


async def ended_within(first: First, seconds: float) -> None:
    """Wait until it has ended, at most so many seconds: cancelling one who waits leaves what is asked alone.

    A plain future, because a request runs without a task of its own at first.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def tell(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    late = loop.call_later(seconds, tell)
    first.ended.add_done_callback(tell)
    try:
        await over
    finally:
        late.cancel()
        first.ended.remove_done_callback(tell)
