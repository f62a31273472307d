"""What is being asked for the first time, so that whoever needs it can wait for it (`ztproxy.identity.waiting`)."""

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
