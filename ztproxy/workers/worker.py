"""A worker process: serves by what the supervisor tells it, and ends when the supervisor is gone."""

import asyncio
import gc
import hashlib
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ztproxy.admin.observed import Observed
from ztproxy.admin.sessions import Forgetting, Lines, Listing, Revoked, Revoking
from ztproxy.config.loading import ConfigError, parse
from ztproxy.edge.descriptors import raise_limit
from ztproxy.generation import Generation
from ztproxy.identity.issuers.refreshing import Refreshed, Refreshing
from ztproxy.observe import Metrics
from ztproxy.observe.lag import LoopLag
from ztproxy.parts import StartError
from ztproxy.serve import Server, new_event_loop
from ztproxy.summary import summary
from ztproxy.workers.channel import Channel, to_worker
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
    Prepare,
    Prepared,
    Question,
    Reopen,
    Reply,
    ToWorker,
)
from ztproxy.workers.readiness import unready
from ztproxy.workers.readings import changed, state_of
from ztproxy.workers.sessions import listed, revoked

GC_THRESHOLD = 50_000
"""Objects before a collection; requests make no cycles, and a collector's pause is a request's."""
_IGNORED = ("SIGINT", "SIGHUP", "SIGUSR1")
"""A terminal sends them to the whole group; the supervisor says what is to be done."""

_log = logging.getLogger("ztproxy")


class Worker:
    """What the supervisor's messages mean.

    Args:
        sock: our end of the channel.
        number: our place among the workers.
    """

    def __init__(self, sock: socket.socket, number: str) -> None:
        self._metrics = Metrics()
        self._server = Server(shared=True, take_up=self._take_up)
        self._observed = Observed(self._metrics, lambda: self._server.listeners, self._server.streams, worker=number)
        self._lag = LoopLag(asyncio.get_running_loop(), self._metrics.lagged)
        self._lag.start()
        self._prepared: tuple[int, Generation] | None = None
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._channel: Channel[ToWorker] = Channel(sock, to_worker(), self._told, self._orphaned)

    async def ended(self) -> None:
        """Until there is nothing more to do; everything is closed then."""
        await self._ended.wait()
        if self._prepared is not None:
            await self._prepared[1].close(self._others())
        await self._server.close()
        self._lag.stop()
        self._channel.close()

    def _told(self, message: ToWorker, sockets: deque[socket.socket]) -> None:
        match message:
            case Prepare():
                self._begin(self._prepare(message))
            case Commit():
                given = {address: sockets.popleft() for address in message.addresses}
                self._begin(self._commit(message.generation, given))
            case Abort():
                self._begin(self._abort())
            case Drain():
                self._drain(message.seconds)
            case Reopen():
                self._server.reopen_logs()
            case Ask():
                self._channel.send(Reply(message.number, self._answer(message.what)))
            case Act():
                self._keep(asyncio.get_running_loop().create_task(self._act(message)))

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._keep(asyncio.get_running_loop().create_task(self._in_turn(coroutine)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _in_turn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """One order after the other, as they came: what is forgotten was prepared first."""
        async with self._turn:
            await coroutine

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            # Which generation serves is not known any more: a fresh process knows.
            _log.critical("a worker ends because of a bug", exc_info=bug)
            os._exit(70)

    async def _prepare(self, told: Prepare) -> None:
        await self._abort()  # whoever ordered one before has given up waiting for it
        try:
            settings = parse(told.text, Path(told.path), _path(told.policy), workers=told.workers)
            before = state_of(settings)
            serving = self._server.serving
            made = await Generation.prepare(
                settings,
                serving,
                keep_policy=told.keep_policy,
                metrics=self._metrics,
                streams=self._server.streams,
                workload=told.workload,
            )
        except ConfigError as wrong:
            self._channel.send(Failed(told.generation, tuple(map(str, wrong.problems))))
        except StartError as wrong:
            self._channel.send(Failed(told.generation, wrong.problems))
        except Exception as bug:  # noqa: BLE001 - what serves goes on, whatever is wrong with what was to follow it
            _log.exception("a bug, met while a configuration was made ready")
            self._channel.send(Failed(told.generation, (f"a bug in ztproxy: {type(bug).__name__}: {bug}",)))
        else:
            self._prepared = (told.generation, made)
            problem = await asyncio.to_thread(changed, settings, before, by_manifest=told.by_manifest)
            if problem:
                await self._abort()
                self._channel.send(Failed(told.generation, (problem,)))
                return
            read = hashlib.sha256(b"\n".join((before, made.parts.upstreams.jwks()))).hexdigest()
            self._channel.send(Prepared(told.generation, made.parts.engine.revision, read))

    async def _commit(self, generation: int, sockets: dict[str, socket.socket]) -> None:
        if self._prepared is None or self._prepared[0] != generation:
            raise RuntimeError("told to serve by what was never prepared")
        made, self._prepared = self._prepared[1], None
        first = self._server.serving is None
        await self._server.commit(made, sockets)
        self._channel.send(Committed(generation, tuple(summary(made.parts, self._server.addresses))))
        if first:
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD, 50, 50)

    async def _abort(self) -> None:
        if self._prepared is not None:
            made, self._prepared = self._prepared[1], None
            await made.close(self._others())

    def _drain(self, seconds: float) -> None:
        """Accept no more, finish what runs, and end; told again, end at once."""
        if self._draining is not None:
            self._draining.cancel()
        self._observed.draining = True
        self._draining = asyncio.get_running_loop().create_task(self._drained(seconds))
        self._draining.add_done_callback(self._done)

    async def _drained(self, seconds: float) -> None:
        self._channel.send(Drained(await self._server.drain(seconds)))
        self._ended.set()

    def drain(self) -> None:
        """As the configuration says; for whoever tells this process alone."""
        if self._draining is None:
            serving = self._server.serving
            self._drain(serving.settings.drain if serving is not None else 0.0)

    def _orphaned(self) -> None:
        """The supervisor is gone, and with it whoever could tell us anything."""
        _log.warning("the supervisor is gone; worker %d drains and ends", os.getpid())
        self.drain()

    def _others(self) -> list[Generation]:
        return [self._server.serving] if self._server.serving is not None else []

    def _take_up(self, generation: Generation) -> Callable[[], None]:
        return self._observed.take_up(generation.parts, generation.access, generation.decisions)

    async def _act(self, told: Act) -> None:
        self._channel.send(Reply(told.number, msgspec.json.encode(await self._acted(told.action))))

    async def _acted(self, action: Action) -> Lines | Revoked | Sequence[Refreshed] | None:
        serving = self._server.serving
        sessions = None if serving is None else serving.parts.identity.sessions
        match action:
            case Listing():
                return await listed(sessions, action, time.time())
            case Revoking():
                return await revoked(sessions, action, time.time())
            case Refreshing():
                return await self._server.refresh(action.issuer)
            case Forgetting():
                if sessions is not None:
                    sessions.doubt()
                return None

    def _answer(self, what: Question) -> bytes:
        match what:
            case "unready":
                return msgspec.json.encode(list(unready(self._server)))
            case "snapshot":
                return self._observed.snapshot()
            case "status":
                return self._observed.status()
            case "ping":
                return b""


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


async def _work(descriptor: int, number: str) -> None:
    loop = asyncio.get_running_loop()
    worker = Worker(socket.socket(fileno=descriptor), number)
    loop.add_signal_handler(signal.SIGTERM, worker.drain)
    await worker.ended()


def main(descriptor: int, number: str) -> None:
    """Serve until told to stop.

    Args:
        descriptor: of the channel.
        number: our place among the workers.
    """
    for name in _IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's own order
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    raise_limit()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_work(descriptor, number))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
