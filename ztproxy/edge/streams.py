"""What outlives a request: which streams are open and whose they are, so that each ends when the right to it ends.

A switch of protocols is registered as it happens. Any other exchange costs nothing: one that is still under way after
`AFTER` seconds (an event stream, a long poll, a long download) is found by looking over the connections now and then.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence, Sized
from typing import Any, Protocol

import msgspec

from ztproxy.config.settings import Settings
from ztproxy.config.streams import Streams as StreamSettings
from ztproxy.edge.stream import RESPONSE, Stream, stream_of
from ztproxy.edge.websocket import CloseCode
from ztproxy.model import Authorized, Connection, Outcome, Reason, Refusal, Right

AFTER = 10.0
"""Seconds after which an exchange that is still under way is a stream."""
INTERVAL = 2.0
"""Seconds between two looks: how late a stream may end after the right to it did."""
_LATER = ((b"Retry-After", b"10"),)
_NO_ROOM = Refusal(
    Reason.OVERLOADED, "this route has as many streams as it may", cause="streams.maximum is reached", fields=_LATER
)
_NO_ROOM_FOR_ONE = Refusal(
    Reason.RATE_LIMITED,
    "too many streams are open already",
    cause="streams.maximum_per_identity is reached",
    fields=_LATER,
)


Clock = Callable[[], float]
Rejudge = Callable[[Sequence[Right], float], Coroutine[Any, Any, Sequence[Refusal | None]]]
"""Of each right, at a time: why it counts no more, None where it does."""
_NO_LONGER_ASKED = Refusal(
    Reason.CERTIFICATE_UNTRUSTED_HERE, cause="the listener asks for no certificates any more", close=True
)


class Exchange(Protocol):
    """An exchange that may be a stream."""

    outcome: Outcome | None
    began: float
    """Seconds of the monotonic clock."""
    wall: float
    """Seconds since 1970 when it began."""
    registered: bool
    """`Streams` knows it, and wants to be told of its end."""

    def end(self, refusal: Refusal, code: CloseCode) -> None:
        """End it now, in whatever way its client can be told."""


class UnderWay(Protocol):
    """Where exchanges are under way: a listener's site."""

    @property
    def connections(self) -> Sized:
        """Its open connections."""

    def exchanges(self) -> Iterable[Exchange]:
        """Those that were handed to an upstream and have not ended."""


class Streams:
    """All streams of a process."""

    def __init__(self) -> None:
        self._routes: Mapping[str, StreamSettings] = {}
        self._leeways: Mapping[str, float] = {}
        self._open: dict[Exchange, Stream] = {}
        self._by_route: Counter[str] = Counter()
        self._by_identity: Counter[tuple[str, ...]] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._rejudge: Rejudge | None = None
        self._rejudging: asyncio.Task[None] | None = None
        self._watching: tuple[asyncio.AbstractEventLoop, tuple[UnderWay, ...], Clock, Clock] | None = None
        self.opened: Counter[str] = Counter()
        """By kind, since the start."""
        self.ended: Counter[str] = Counter()
        """Those that were ended from here, by the reason's word."""
        self.refused = 0
        """Switches refused because there were as many streams as there may be."""

    def configure(self, settings: Settings) -> None:
        """Take up a configuration; streams that are open keep the end that they were given."""
        self._routes = {route.name: route.streams for route in settings.routes}
        self._leeways = {issuer.issuer: issuer.leeway for issuer in settings.issuers}

    @property
    def open(self) -> Counter[str]:
        """How many are open now, by kind."""
        return Counter(stream.kind for stream in self._open.values())

    def find(self, wanted: Callable[[Stream], bool] = lambda _: True) -> tuple[Stream, ...]:
        """The streams that are wanted."""
        return tuple(stream for stream in self._open.values() if wanted(stream))

    def end(
        self,
        wanted: Callable[[Stream], bool],
        cause: str,
        *,
        reason: Reason = Reason.POLICY_DENIED,
        code: CloseCode = CloseCode.POLICY_VIOLATION,
    ) -> int:
        """End the streams that are wanted; how many they were. `cause` is for the log."""
        ending = [exchange for exchange, stream in self._open.items() if wanted(stream)]
        for exchange in ending:
            self._end(exchange, Refusal(reason, cause=cause), code)
        return len(ending)

    # -- what the edge calls

    def switched(self, exchange: Exchange, authorized: Authorized, protocol: str) -> Refusal | None:
        """Register a switch of protocols, or refuse it: there are as many as there may be."""
        stream = self._stream(exchange, authorized, protocol)
        configured = self._routes.get(stream.route)
        if configured is not None:
            if configured.maximum is not None and self._by_route[stream.route] >= configured.maximum:
                self.refused += 1
                return _NO_ROOM
            one = configured.maximum_per_identity
            if one is not None and self._by_identity[stream.identity] >= one:
                self.refused += 1
                return _NO_ROOM_FOR_ONE
        self._by_route[stream.route] += 1
        self._by_identity[stream.identity] += 1
        self._register(exchange, stream)
        return None

    def closed(self, exchange: Exchange) -> None:
        """It is over, however it ended."""
        stream = self._open.pop(exchange, None)
        if stream is None or stream.kind == RESPONSE:
            return
        self._by_route[stream.route] -= 1
        self._by_identity[stream.identity] -= 1
        if not self._by_identity[stream.identity]:
            del self._by_identity[stream.identity]

    def judged_anew(self, exchange: Exchange, connection: Connection) -> None:
        """Trust has changed: a stream goes no further on a connection whose certificate counts no more."""
        stream, found = self._open.get(exchange), connection.unchecked_certificate
        if stream is None:
            return
        if found is None and stream.certificate_fingerprint is not None:
            found = _NO_LONGER_ASKED
        if isinstance(found, Refusal):
            cause = found.cause or found.detail or found.reason.word
            self._end(exchange, msgspec.structs.replace(found, cause=cause), CloseCode.POLICY_VIOLATION)

    # -- looking over them

    def watch(self, sites: Iterable[UnderWay], wall: Clock, monotonic: Clock, rejudge: Rejudge | None = None) -> None:
        """Look at all streams now and then, until `stop`; needs a running loop.

        Said again after a reload, it goes on looking at sites that were replaced while they have connections; however
        often it is said, the next look comes in time.

        Args:
            sites: where exchanges are under way.
            wall: seconds since 1970.
            monotonic: seconds.
            rejudge: says whose right has ended meanwhile, by what counts now.
        """
        self._rejudge = rejudge
        loop, sites = asyncio.get_running_loop(), tuple(sites)
        before = () if self._watching is None else self._watching[1]
        left = tuple(site for site in before if site.connections and site not in sites)
        self._watching = loop, (*sites, *left), wall, monotonic
        if self._timer is None:
            self._timer = loop.call_later(INTERVAL, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._watching = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._rejudging is not None:
            self._rejudging.cancel()
            self._rejudging = None

    def _look(self) -> None:
        self._timer = None
        if self._watching is not None:
            loop, sites, wall, monotonic = self._watching
            self._timer = loop.call_later(INTERVAL, self._look)
            self.sweep(sites, wall(), monotonic())
            if self._rejudge is not None and self._open and (self._rejudging is None or self._rejudging.done()):
                self._rejudging = loop.create_task(self.rejudge(self._rejudge, wall()))

    def sweep(self, sites: Iterable[UnderWay], wall: float, monotonic: float) -> None:
        """Find what has become a stream, and end what has no right to go on."""
        for site in sites:
            for exchange in site.exchanges():
                outcome = exchange.outcome
                if monotonic - exchange.began >= AFTER and isinstance(outcome, Authorized):
                    self._found(exchange, outcome)
        for exchange, stream in [entry for entry in self._open.items() if entry[1].ending.at <= wall]:
            self._end(exchange, stream.ending.refusal, stream.ending.code)

    async def rejudge(self, rejudge: Rejudge, now: float) -> None:
        """End what would not be let in any more: its certificate was revoked, its session has ended."""
        streams = list(self._open.items())
        refusals = await rejudge([stream.right for _, stream in streams], now)
        for (exchange, stream), refusal in zip(streams, refusals, strict=True):
            if refusal is not None and self._open.get(exchange) is stream:
                self._end(exchange, refusal, CloseCode.POLICY_VIOLATION)

    # -- inside

    def _found(self, exchange: Exchange, authorized: Authorized) -> None:
        if not exchange.registered:
            self._register(exchange, self._stream(exchange, authorized, RESPONSE))

    def _register(self, exchange: Exchange, stream: Stream) -> None:
        self._open[exchange] = stream
        exchange.registered = True
        self.opened[stream.kind] += 1

    def _end(self, exchange: Exchange, refusal: Refusal, code: CloseCode) -> None:
        self.ended[refusal.reason.word] += 1
        exchange.end(refusal, code)

    def _stream(self, exchange: Exchange, authorized: Authorized, kind: str) -> Stream:
        configured = self._routes.get(authorized.route)
        lifetime = None if configured is None else configured.lifetime
        token = authorized.token
        leeway = 0.0 if token is None else self._leeways.get(token.issuer, 0.0)
        return stream_of(authorized, kind, exchange.wall, lifetime, leeway)
