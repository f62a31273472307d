"""Waiting for what others wait for too."""

import asyncio
from typing import Any


async def end_of(waited: asyncio.Future[Any], seconds: float | None = None) -> None:
    """Wait for a task's or future's end, however it ends, at most so many seconds: cancelling one who waits leaves it.

    A plain future, because a request runs without a task of its own at first.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def tell(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    late = None if seconds is None else loop.call_later(seconds, tell)
    waited.add_done_callback(tell)
    try:
        await over
    finally:
        waited.remove_done_callback(tell)
        if late is not None:
            late.cancel()
