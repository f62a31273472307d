"""A serving proxy: its listeners, the generation they serve by, and those before it that still have work to end."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from ztproxy.config.settings import Settings
from ztproxy.config.streams import WEBSOCKET
from ztproxy.config.values import UnixAddress
from ztproxy.edge.admission import Admission
from ztproxy.edge.binding import BindError, bind_socket
from ztproxy.edge.http1 import Http1
from ztproxy.edge.listener import Listener
from ztproxy.edge.site import Site
from ztproxy.edge.streams import Streams
from ztproxy.edge.websocket import CloseCode
from ztproxy.generation import Generation
from ztproxy.identity import describe
from ztproxy.identity.issuers.refreshing import Refreshed
from ztproxy.model import Reason
from ztproxy.parts import Parts, StartError
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.source import once

__all__ = ["Server", "StartError", "new_event_loop"]

LOOK_EVERY = 0.25
"""Seconds between two looks at what a retired generation still has under way."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop where it exists, else of asyncio."""
    try:
        import uvloop  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class Server:
    """Serves by one generation at a time. `start` makes one that owns its sockets.

    Args:
        shared: the sockets belong to another process, and others listen on them too.
        take_up: told of each generation when it begins to serve; returns what to call when nothing is left of it.
    """

    def __init__(
        self, *, shared: bool = False, take_up: Callable[[Generation], Callable[[], None]] | None = None
    ) -> None:
        self.streams = Streams()
        """All that are open, by whatever generation they began."""
        self._shared = shared
        self._take_up = take_up
        self._serving: Generation | None = None
        self._listeners: dict[str, Listener] = {}
        self._leaving: list[Listener] = []
        self._retired: list[Generation] = []
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, settings: Settings, *, demonstration: bool = False) -> Self:
        """Build everything, bind every socket, then serve on all of them.

        Raises:
            StartError: with every problem found; nothing serves then.
        """
        server = cls()
        try:
            workload = await once(settings)
        except SpiffeError as wrong:
            raise StartError([str(wrong)]) from None
        generation = await Generation.prepare(
            settings, demonstration=demonstration, streams=server.streams, workload=workload
        )
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(generation.close)
            sockets: dict[str, socket.socket] = {}
            try:
                for listener in settings.listeners:
                    sockets[str(listener.address)] = sock = bind_socket(listener.address)
                    if isinstance(listener.address, UnixAddress):
                        undo.callback(listener.address.path.unlink, missing_ok=True)
                    undo.callback(sock.close)
                await server.commit(generation, sockets)
            except BindError as wrong:
                raise StartError([str(wrong)]) from None
            undo.pop_all()
        return server

    @property
    def serving(self) -> Generation | None:
        """By what new requests are served; None before the first commit."""
        return self._serving

    @property
    def parts(self) -> Parts:
        """What new requests are judged by."""
        if self._serving is None:
            raise RuntimeError("nothing serves yet")
        return self._serving.parts

    @property
    def addresses(self) -> list[str]:
        """Where it really listens, in the settings' order."""
        return [self._listeners[str(one.address)].address for one in self.parts.settings.listeners]

    @property
    def listeners(self) -> list[Listener]:
        """All that have connections, or may get some."""
        return [*self._listeners.values(), *self._leaving]

    @property
    def retired(self) -> int:
        """How many generations still have something under way."""
        return len(self._retired)

    async def commit(self, generation: Generation, sockets: Mapping[str, socket.socket]) -> None:
        """Serve by a generation: its new listeners begin, then every connection takes it up, then old listeners leave.

        Args:
            generation: as prepared.
            sockets: bound ones by configured address, for every listener; those not needed are closed.

        Raises:
            BindError: a listener cannot begin; only possible with sockets that nobody listens on yet.
        """
        staying = self._staying(generation)
        for address, sock in sockets.items():
            if address in staying:
                sock.close()
        begun = {
            address: self._listener(generation, address, sockets[address])
            for address in generation.sites
            if address not in staying
        }
        try:
            for listener in begun.values():
                await listener.start()
        except BindError:
            for listener in begun.values():
                listener.close()
            raise
        old, self._serving = self._serving, generation
        replaced = self._listeners
        self._listeners = begun | {address: replaced[address] for address in staying}
        if old is not None:
            generation.parts.take_over(old.parts)
        self._begin(generation, old)
        if self._take_up is not None:
            generation.left = self._take_up(generation)
        if old is not None:
            self._renew(old, generation, staying)
            self._leave(old, {address: one for address, one in replaced.items() if address not in staying})
            self._retire(old)

    def _staying(self, generation: Generation) -> set[str]:
        """Addresses that go on being listened on in the same protocol."""
        if self._serving is None:
            return set()
        before, after = _kinds(self._serving), _kinds(generation)
        return {address for address in self._listeners.keys() & after.keys() if before[address] == after[address]}

    def _listener(self, generation: Generation, address: str, sock: socket.socket) -> Listener:
        settings = generation.settings
        configured = next(one for one in settings.listeners if str(one.address) == address)
        return Listener(
            sock,
            address,
            _application(generation.sites[address]),
            contexts=generation.contexts[address],
            describe=describe,
            on_handshake_failed=generation.handshake_failed,
            admission=Admission(settings.connections, configured.trusted_proxies),
            balancers=configured.trusted_proxies if configured.proxy_protocol else None,
            shared=self._shared,
            users=configured.users,
        )

    def _renew(self, old: Generation, generation: Generation, staying: set[str]) -> None:
        """All at once, so that no request finds one listener renewed and another not."""
        settings = generation.settings
        for address in staying:
            listener, site = self._listeners[address], generation.sites[address]
            listener.renew(_application(site), generation.contexts[address], generation.handshake_failed)
            users = next(one.users for one in settings.listeners if str(one.address) == address)
            listener.admit(settings.connections, site.reading.trusted_proxies, users)
            for connection in tuple(old.sites[address].connections):
                left = connection.renew(site, listener.judged_anew(connection.connection))
                if left is not None:
                    old.under_way.append(left)
                    self.streams.judged_anew(left, connection.connection)

    def _leave(self, old: Generation, listeners: Mapping[str, Listener]) -> None:
        """Let listeners go that the new configuration does not have; what is under way on them ends in its time."""
        for address, listener in listeners.items():
            listener.stop_accepting()
            old.sites[address].drain()
            self._leaving.append(listener)

    def _begin(self, generation: Generation, old: Generation | None) -> None:
        """Let what runs by itself look after what serves now."""
        parts = generation.parts
        parts.upstreams.start()
        if old is None or old.parts.load is not parts.load:
            parts.load.start(asyncio.get_running_loop())
        self.streams.configure(generation.settings)
        self.streams.watch(generation.sites.values(), time.time, time.monotonic, parts.identity.rejudge)

    def _retire(self, old: Generation) -> None:
        old.parts.upstreams.retire()
        self._retired.append(old)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._close_retired())

    async def _close_retired(self) -> None:
        """Close what nothing is under way on any more: what decides first, then the rest."""
        while self._retired and self._serving is not None:
            self._leaving = [listener for listener in self._leaving if listener.open]
            for generation in tuple(self._retired):
                if generation.deciding or _connected(generation):
                    continue
                others = [one for one in (*self._retired, self._serving) if one is not generation]
                await generation.close_deciding(others)
                if generation.over:
                    await generation.close(others)
                    self._retired.remove(generation)
            if self._retired:
                await asyncio.sleep(LOOK_EVERY)

    async def refresh(self, issuer: str | None) -> Sequence[Refreshed]:
        """Ask issuers now, by what serves; what was retired goes by the answers too."""
        while True:
            serving = self.parts.identity
            found = await serving.refresh(issuer)
            if serving is not self.parts.identity:  # another serves by now, with what was known before
                continue
            for generation in self._retired:
                generation.parts.identity.follow(serving)
            return found

    def reopen_logs(self) -> None:
        """Open log files anew, after they were moved away."""
        generations = [*self._retired, *([self._serving] if self._serving else [])]
        for access in {id(one.access): one.access for one in generations}.values():
            access.reopen()

    async def drain(self, seconds: float) -> int:
        """Accept no more and let running requests finish; returns how many connections were still open at the end."""
        listeners = self.listeners
        for listener in self._listeners.values():
            listener.stop_accepting()
        for generation in (*self._retired, *([self._serving] if self._serving else [])):
            for site in generation.sites.values():
                site.drain()
        self.streams.end(
            lambda stream: stream.kind == WEBSOCKET,
            "the proxy is closing",
            reason=Reason.OVERLOADED,
            code=CloseCode.GOING_AWAY,
        )
        empty = asyncio.gather(*(listener.wait_empty() for listener in listeners))
        try:
            await asyncio.wait_for(empty, seconds)
        except TimeoutError:
            return sum(listener.open for listener in listeners)
        return 0

    async def close(self) -> None:
        """End at once: connections, pools, engine, logs."""
        self.streams.stop()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for listener in self.listeners:
            listener.close()
        generations = [*self._retired, *([self._serving] if self._serving else [])]
        while generations:
            await generations.pop(0).close(generations)


def _connected(generation: Generation) -> bool:
    """Whether connections are left that may still ask by it: those of listeners that leave."""
    return any(site.connections for site in generation.sites.values())


def _kinds(generation: Generation) -> dict[str, tuple[object, ...]]:
    """By address: what makes a listener another one when it changes, because its connections begin otherwise."""
    return {
        str(one.address): (one.protocol, one.trusted_proxies if one.proxy_protocol else None)
        for one in generation.settings.listeners
    }


def _application(site: Site) -> Callable[[], Http1]:
    return lambda: Http1(site)
