"""From settings to a serving process: build, bind, serve, and end in an orderly way."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from ztproxy.config.settings import Settings
from ztproxy.config.streams import WEBSOCKET
from ztproxy.config.values import Address, UnixAddress
from ztproxy.edge.admission import Admission
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.descriptors import raise_limit
from ztproxy.edge.http1 import Http1
from ztproxy.edge.listener import BindError, Listener, bind_socket
from ztproxy.edge.site import Site
from ztproxy.edge.streams import Streams
from ztproxy.edge.websocket import CloseCode
from ztproxy.identity import describe
from ztproxy.model import Authorized, Finished, Reason
from ztproxy.observe import AccessLog, Causes, DecisionLog
from ztproxy.parts import Parts, StartError, build
from ztproxy.summary import summary, warnings
from ztproxy.writable import unwritable

__all__ = ["Checked", "Server", "StartError", "check", "new_event_loop", "serve"]

STREAMS = ("stdout", "stderr", "off")
"""Values of `logs.access` that are no file."""
INTERRUPT_DRAIN = 1.0
"""Seconds that running requests get after SIGINT."""
GC_THRESHOLD = 50_000
"""Objects before a collection; requests make no cycles, and a collector's pause is a request's."""

_log = logging.getLogger("ztproxy")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop where it exists, else of asyncio."""
    try:
        import uvloop  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class Checked(NamedTuple):
    """What `config check` found."""

    problems: list[str]
    """What would keep `run` from serving."""
    warnings: list[str]
    """What is allowed but unsafe; not looked for while there are problems."""


def check(settings: Settings) -> Checked:
    """Everything that `run` would say against the settings, but for its sockets."""

    async def attempt() -> Checked:
        unopened = list(_log_problems(settings))
        try:
            parts = build(settings)
        except StartError as wrong:
            return Checked([*wrong.problems, *unopened], [])
        try:
            return Checked(unopened, list(warnings(parts)))
        finally:
            await parts.close()

    return asyncio.run(attempt())


def _log_problems(settings: Settings) -> Iterator[str]:
    """What keeps a log that has to be there from being opened."""
    logs = settings.logs
    if logs.access not in STREAMS and (why := unwritable(Path(logs.access))):
        yield f"logs.access: {why}"
    if logs.decisions is not None and settings.decisions.required and (why := unwritable(logs.decisions)):
        yield f"logs.decisions: {why}"


class Server:
    """A serving proxy. Make one with `start`."""

    def __init__(
        self,
        parts: Parts,
        access: AccessLog,
        decisions: DecisionLog | None,
        listeners: list[tuple[Listener, Site]],
        streams: Streams,
    ) -> None:
        self.parts = parts
        self.streams = streams
        self._access = access
        self._decisions = decisions
        self._listeners = listeners

    @classmethod
    async def start(cls, settings: Settings, *, demonstration: bool = False) -> Self:
        """Build everything, bind every socket, then serve on all of them.

        Raises:
            StartError: with every problem found; nothing serves then.
        """
        parts = build(settings, allow_demonstration=demonstration)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(parts.close)
            try:
                server = await cls._start(parts, undo)
            except BindError as wrong:
                raise StartError([str(wrong)]) from None
            undo.pop_all()
        return server

    @classmethod
    async def _start(cls, parts: Parts, undo: contextlib.AsyncExitStack) -> Self:
        settings = parts.settings
        sockets = [_bound(listener.address, undo) for listener in settings.listeners]
        access = _access_log(settings)
        undo.callback(access.close)
        decisions = _decision_log(parts)
        if decisions is not None:
            undo.callback(decisions.close)
        cleaning = Cleaning.build(settings)
        pipeline = parts.pipeline(decisions)
        parts.upstreams.start()
        finished = _telling(access, Causes(time.monotonic))
        streams = Streams()
        streams.configure(settings)
        undo.callback(streams.stop)
        listeners = []
        for listener, sock, contexts in zip(settings.listeners, sockets, parts.contexts, strict=True):
            site = Site.build(
                listener,
                settings,
                cleaning,
                pipeline=pipeline,
                forward=parts.upstreams.forward,
                finished=finished,
                charge=parts.limits.charge_source,
                load=parts.load,
                streams=streams,
            )
            served = Listener(
                sock,
                str(listener.address),
                _application(site),
                contexts=contexts,
                describe=describe,
                on_handshake_failed=access.handshake_failed,
                admission=Admission(settings.connections, listener.trusted_proxies),
                balancers=listener.trusted_proxies if listener.proxy_protocol else None,
            )
            undo.callback(served.close)
            listeners.append((served, site))
        await parts.identity.start()
        for served, _ in listeners:
            await served.start()
        parts.load.start(asyncio.get_running_loop())
        streams.watch([site for _, site in listeners], time.time, time.monotonic)
        return cls(parts, access, decisions, listeners, streams)

    @property
    def addresses(self) -> list[str]:
        """Where it really listens, in the settings' order."""
        return [listener.address for listener, _ in self._listeners]

    def reopen_logs(self) -> None:
        """Open log files anew, after they were moved away."""
        self._access.reopen()

    async def drain(self, seconds: float) -> int:
        """Accept no more and let running requests finish; returns how many connections were still open at the end."""
        for listener, site in self._listeners:
            listener.stop_accepting()
            site.drain()
        self.streams.end(
            lambda stream: stream.kind == WEBSOCKET,
            "the proxy is closing",
            reason=Reason.OVERLOADED,
            code=CloseCode.GOING_AWAY,
        )
        empty = asyncio.gather(*(listener.wait_empty() for listener, _ in self._listeners))
        try:
            await asyncio.wait_for(empty, seconds)
        except TimeoutError:
            return sum(listener.open for listener, _ in self._listeners)
        return 0

    async def close(self) -> None:
        """End at once: connections, pools, engine, logs."""
        self.streams.stop()
        for listener, _ in self._listeners:
            listener.close()
        await self.parts.close()
        if self._decisions is not None:
            self._decisions.close()
        self._access.close()


def _application(site: Site) -> Callable[[], Http1]:
    return lambda: Http1(site)


def _telling(access: AccessLog, causes: Causes) -> Callable[[Finished], None]:
    def finished(ended: Finished) -> None:
        access.finished(ended)
        if ended.cut is not None or not isinstance(ended.outcome, Authorized):
            causes.finished(ended)

    return finished


def _bound(address: Address, undo: contextlib.AsyncExitStack) -> socket.socket:
    """A socket that is closed, and whose file is removed, should the start fail."""
    sock = bind_socket(address)
    if isinstance(address, UnixAddress):
        undo.callback(address.path.unlink, missing_ok=True)
    undo.callback(sock.close)
    return sock


def _access_log(settings: Settings) -> AccessLog:
    target = settings.logs.access
    try:
        if target not in STREAMS:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        return AccessLog.open(target)
    except OSError as wrong:
        raise StartError([f"logs.access: {target}: {wrong.strerror or wrong}"]) from None


def _decision_log(parts: Parts) -> DecisionLog | None:
    settings = parts.settings
    path = settings.logs.decisions
    if path is None:
        return None
    try:
        return DecisionLog.open(
            path,
            required=settings.decisions.required,
            entrypoint=settings.policy.entrypoint,
            reads=lambda: parts.engine.reads,
        )
    except OSError as wrong:
        raise StartError([f"logs.decisions: {wrong}"]) from None


def serve(settings: Settings) -> int:
    """Serve until told to stop; the exit code."""
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    raise_limit()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    signals = _Signals()
    server = await Server.start(settings)
    signals.reopen = server.reopen_logs
    try:
        for line in summary(server.parts, server.addresses):
            _say(line)
        _say("serving")
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 50, 50)
        told = await signals.stop()
        seconds = settings.drain if told == signal.SIGTERM else INTERRUPT_DRAIN
        _say(f"draining for at most {seconds:g} s; another signal ends at once")
        cut = await _first(server.drain(seconds), signals.stop())
        if cut:
            _say(f"ended with {cut} connections cut")
    finally:
        await server.close()
    return 0


async def _first(drain: Coroutine[Any, Any, int], stop: Coroutine[Any, Any, int]) -> int | None:
    """How many connections a drain left open; None when it was cut short."""
    draining, stopping = asyncio.ensure_future(drain), asyncio.ensure_future(stop)
    await asyncio.wait({draining, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, stopping):
        task.cancel()
    await asyncio.gather(draining, stopping, return_exceptions=True)
    return None if draining.cancelled() else draining.result()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the start-up summary


class _Signals:
    """Signals as events: SIGTERM and SIGINT stop, SIGUSR1 reopens logs where there is such a signal."""

    def __init__(self) -> None:
        self.reopen: Callable[[], None] = lambda: None
        self._told: asyncio.Queue[int] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self._told.put_nowait, number)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda told, _: loop.call_soon_threadsafe(self._told.put_nowait, told))
        if hasattr(signal, "SIGUSR1"):
            loop.add_signal_handler(signal.SIGUSR1, self._reopen)

    def _reopen(self) -> None:
        self.reopen()

    async def stop(self) -> int:
        """The next signal to stop."""
        return await self._told.get()
