"""`ztproxy run`: a supervisor with its workers, or one process that does it all where sockets cannot be handed on."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from ztproxy.config.loading import ConfigError, placed
from ztproxy.edge.descriptors import raise_limit
from ztproxy.workers.plan import Plan, Source, read
from ztproxy.workers.signals import Signals
from ztproxy.workers.supervisor import CannotStartError, Supervisor
from ztproxy.workers.telling import say

__all__ = ["CannotStartError", "start"]

INTERRUPT_DRAIN = 1.0
"""Seconds that running requests get after SIGINT."""


async def start(source: Source) -> int:
    """Serve until told to stop; the exit code.

    Raises:
        CannotStartError: with every problem found; nothing serves then.
    """
    try:
        plan = read(source, generation=1)
    except ConfigError as wrong:
        raise CannotStartError([str(problem) for problem in wrong.problems]) from None
    raise_limit()  # what is started inherits it
    return await (_supervised(plan) if hasattr(socket, "send_fds") else _alone(plan))


async def _supervised(plan: Plan) -> int:
    signals = Signals()
    supervisor = Supervisor(plan)
    async with supervisor.serving():
        reloading: set[asyncio.Task[object]] = set()  # the loop itself holds tasks only weakly

        def reload() -> None:
            if len(reloading) > 1:  # one that is yet to begin reads whatever has changed by then
                return
            task = asyncio.get_running_loop().create_task(supervisor.reload("signal"))
            reloading.add(task)
            task.add_done_callback(reloading.discard)

        signals.on("SIGHUP", reload)
        signals.on("SIGUSR1", supervisor.reopen_logs)
        supervisor.announce()
        await _until_told(signals, supervisor.drain_time, supervisor.drain, supervisor.hurry)
    return 0


async def _alone(plan: Plan) -> int:
    """Where a process cannot be given sockets (Windows): one process, and no reload."""
    if plan.workers > 1:
        raise CannotStartError([f"{plan.source.path}: several `workers` need sockets that are handed on to processes"])
    from ztproxy.serve import Server, StartError  # noqa: PLC0415 - a supervisor has no use for all of it
    from ztproxy.summary import summary  # noqa: PLC0415 - likewise

    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    signals = Signals()
    try:
        server = await Server.start(plan.settings)
    except StartError as wrong:
        raise CannotStartError([placed(problem, plan.source.path) for problem in wrong.problems]) from None
    try:
        for line in summary(server.parts, server.addresses):
            say(line)
        say("serving")
        await _until_told(signals, lambda: plan.settings.drain, server.drain, lambda: None)
    finally:
        await server.close()
    return 0


async def _until_told(
    signals: Signals,
    drain_time: Callable[[], float],
    drain: Callable[[float], Coroutine[Any, Any, int]],
    hurry: Callable[[], None],
) -> None:
    """Serve until a signal, then drain; a second signal cuts that short."""
    told = await signals.stop()
    seconds = drain_time() if told == signal.SIGTERM else INTERRUPT_DRAIN
    say(f"draining for at most {seconds:g} s; another signal ends at once")
    draining = asyncio.ensure_future(drain(seconds))
    hurrying = asyncio.ensure_future(signals.stop())
    done, _ = await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if draining not in done:
        hurry()
    if cut := await draining:
        say(f"ended with {cut} connections cut")
