"""One worker process, as the supervisor sees it."""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Literal, Self

from ztproxy.workers.channel import Channel, from_worker
from ztproxy.workers.messages import (
    Abort,
    Act,
    Action,
    Ask,
    Commit,
    Committed,
    Drain,
    Drained,
    Failed,
    FromWorker,
    Prepare,
    Prepared,
    Question,
    Reopen,
    Reply,
)

PREPARE_TIME = 120.0
COMMIT_TIME = 30.0
"""Seconds."""
_NOT_FOR_WORKERS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
"""What the service manager said to the supervisor alone."""

State = Literal["starting", "ready", "draining"]


class WorkerLostError(Exception):
    """The worker ended, or did not answer in time, in the middle of an order."""


class Member:
    """Make one with `spawn`."""

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket, number: int) -> None:
        self.number = number
        self.pid = process.pid
        self.cut: int | None = None
        """Connections that it cut at its end; None as long as it has not said so."""
        self.answered_at = time.monotonic()
        """When it last answered anything."""
        self.state: State = "starting"
        self.since = time.time()
        self._process = process
        self._order: asyncio.Future[FromWorker] | None = None
        self._ordered_generation = 0
        self._questions: dict[int, asyncio.Future[bytes]] = {}
        self._asked = 0
        self._channel: Channel[FromWorker] = Channel(sock, from_worker(), self._told, self._lost)

    @classmethod
    async def spawn(cls, number: int) -> Self:
        """Start a fresh process that waits for its first order. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_WORKERS}
            process = await asyncio.create_subprocess_exec(
                # -P: nothing is imported from whatever folder the proxy was started in.
                *(sys.executable, "-P", "-m", "ztproxy.workers.worker", str(theirs.fileno()), str(number)),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
                process_group=0,  # a terminal's Ctrl-C is for the supervisor, which tells us
            )
        return cls(process, ours, number)

    async def prepare(self, order: Prepare) -> Prepared | Failed:
        """Have a configuration made ready. Raises `WorkerLostError`."""
        reply = await self._ordered(order, (), PREPARE_TIME)
        if not isinstance(reply, Prepared | Failed):
            raise WorkerLostError("answered out of turn")
        return reply

    async def commit(self, order: Commit, sockets: Sequence[socket.socket]) -> Committed:
        """Let it serve by what it prepared. Raises `WorkerLostError`."""
        reply = await self._ordered(order, sockets, COMMIT_TIME)
        if not isinstance(reply, Committed):
            raise WorkerLostError("answered out of turn")
        if self.state == "starting":
            self._become("ready")
        return reply

    def abort(self, generation: int) -> None:
        """Have it forget what it prepared."""
        self._channel.send(Abort(generation))

    def drain(self, seconds: float) -> None:
        """Have it finish what runs, and end."""
        self._become("draining")
        self._channel.send(Drain(seconds))

    def reopen_logs(self) -> None:
        """Have it open its log files anew."""
        self._channel.send(Reopen())

    async def ask(self, what: Question, timeout: float) -> bytes | None:  # noqa: ASYNC109 - None is the answer then
        """Ask a question; None when no answer comes within so many seconds."""
        return await self._put(Ask(self._asked + 1, what), timeout)

    async def act(self, action: Action, timeout: float) -> bytes | None:  # noqa: ASYNC109 - likewise
        """Have something done; None when nobody says within so many seconds what came of it."""
        return await self._put(Act(self._asked + 1, action), timeout)

    async def _put(self, question: Ask | Act, timeout: float) -> bytes | None:  # noqa: ASYNC109 - likewise
        if self._channel.closed:
            return None
        self._asked = number = question.number
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._questions[number] = answer
        self._channel.send(question)
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except (TimeoutError, WorkerLostError):
            return None
        finally:
            self._questions.pop(number, None)

    async def ended(self) -> int:
        """Its exit code, once it ends; negative: the signal that ended it."""
        return await self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _become(self, state: State) -> None:
        self.state, self.since = state, time.time()

    async def _ordered(self, order: Prepare | Commit, sockets: Sequence[socket.socket], seconds: float) -> FromWorker:
        if self._channel.closed:
            raise WorkerLostError("it has ended")
        self._order = asyncio.get_running_loop().create_future()
        self._ordered_generation = order.generation
        self._channel.send(order, sockets)
        try:
            async with asyncio.timeout(seconds):
                return await self._order
        except TimeoutError:
            raise WorkerLostError(f"no answer within {seconds:g} s") from None
        finally:
            self._order = None

    def _told(self, message: FromWorker, _sockets: deque[socket.socket]) -> None:
        self.answered_at = time.monotonic()
        match message:
            case Reply():
                if (answer := self._questions.get(message.number)) and not answer.done():
                    answer.set_result(message.body)
            case Drained():
                self.cut = message.cut
            case Prepared() | Failed() | Committed():
                late = message.generation != self._ordered_generation  # of an order that nobody waits for any more
                if self._order is not None and not self._order.done() and not late:
                    self._order.set_result(message)

    def _lost(self) -> None:
        gone = WorkerLostError("it ended")
        if self._order is not None and not self._order.done():
            self._order.set_exception(gone)
        for question in self._questions.values():
            if not question.done():
                question.set_exception(gone)
