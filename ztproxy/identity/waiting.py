"""Waiting for what others wait for too."""

import asyncio
from typing import Any


async def end_of(task: asyncio.Task[Any]) -> None:
    """Wait for a task's end, however it ends: cancelling one who waits leaves the task alone.

    A plain future, because a request runs without a task of its own at first.
    """
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(_: asyncio.Task[Any]) -> None:
        if not ended.done():
            ended.set_result(None)

    task.add_done_callback(tell)
    await ended
