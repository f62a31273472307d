"""What all connections of one listener share: what decides, what forwards, what is told, clocks, limits."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from email.utils import formatdate
from typing import Any, Protocol

from ztproxy.config.edge import Requests
from ztproxy.config.settings import Listener, Settings
from ztproxy.edge.bounds import HeadLimits, Patience
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.load import Load, unbounded
from ztproxy.edge.reading import Reading
from ztproxy.edge.redirect import redirecting
from ztproxy.edge.request_ids import RequestIds
from ztproxy.edge.response_head import SET_BY_US, hsts_line
from ztproxy.edge.streams import Exchange, Streams
from ztproxy.exchange import Forward
from ztproxy.model import Arrived, Connection, Decided, Finished, Refusal
from ztproxy.turn import turn_of

logger = logging.getLogger("ztproxy.edge")

Decide = Callable[[Arrived], Coroutine[Any, Any, Decided]]
Charge = Callable[[Arrived], Coroutine[Any, Any, Refusal | None]]


class UnderWay(Exchange, Protocol):
    """An exchange that goes on under the configuration that it began with."""

    @property
    def deciding(self) -> bool:
        """Whether it still waits for a decision."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""


class Open(Protocol):
    """A connection that can be told to come to an end, or to go on by a newer configuration."""

    connection: Connection

    def drain(self) -> None:
        """Close at once if idle, else after the exchange that is under way."""

    def exchanges(self) -> Iterable[Exchange]:
        """What is under way on it."""

    def renew(self, site: "Site", connection: Connection) -> "UnderWay | None":
        """Serve what is asked from now on by another site; what is under way ends by the one it began with."""


class Site:
    """One listener's side of HTTP. Immutable but for the set of open connections and whether it drains."""

    __slots__ = (
        "_date", "_date_second", "at_end", "bodies", "charge", "connections", "draining", "finished", "forward",
        "head_limits", "left_out", "load", "monotonic", "most_requests", "patience", "pipeline", "reading",
        "request_ids", "set_always", "show_reasons", "streams", "wall",
    )  # fmt: skip

    def __init__(
        self,
        *,
        pipeline: Decide,
        forward: Forward,
        finished: Callable[[Finished], None],
        reading: Reading,
        set_always: bytes = b"",
        show_reasons: bool = False,
        request_ids: Callable[[], str] | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        at_end: Callable[[Callable[[], None]], None] = lambda do: do(),
        head_limits: HeadLimits | None = None,
        patience: Patience | None = None,
        most_requests: int = sys.maxsize,
        bodies: Mapping[str, int] | None = None,
        charge: Charge | None = None,
        load: Load | None = None,
        streams: Streams | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.forward = forward
        self.finished = finished
        self.reading = reading
        self.set_always = set_always
        self.left_out = SET_BY_US | ({b"strict-transport-security"} if set_always else set())
        self.show_reasons = show_reasons
        self.request_ids = request_ids or RequestIds()
        self.wall = wall
        self.monotonic = monotonic
        self.at_end = at_end
        """Puts off to the end of the loop's turn; by default nothing is put off."""
        self.head_limits = head_limits or HeadLimits()
        self.patience = patience or Patience()
        self.most_requests = most_requests
        """On one connection."""
        self.bodies = bodies or None
        """Octets that a request's content may have, by route; None where no route bounds it."""
        self.charge = charge
        """Charges the address of a request that could not be read; None: such requests are free."""
        self.load = load or unbounded()
        """What the whole process has taken on."""
        self.streams = streams or Streams()
        self.draining = False
        self.connections: set[Open] = set()
        self._date_second = 0
        self._date = b""

    @classmethod
    def build(
        cls,
        listener: Listener,
        settings: Settings,
        cleaning: Cleaning,
        *,
        pipeline: Decide,
        forward: Forward,
        finished: Callable[[Finished], None],
        request_ids: Callable[[], str] | None = None,
        charge: Charge | None = None,
        load: Load | None = None,
        streams: Streams | None = None,
    ) -> "Site":
        """As a listener is configured; one that redirects has no use for the pipeline."""
        return cls(
            pipeline=redirecting(listener.redirect_port) if listener.redirect_to_https else pipeline,
            forward=forward,
            finished=finished,
            reading=Reading.build(listener, cleaning, settings.routes),
            set_always=hsts_line(listener.hsts),
            show_reasons=settings.policy.show_reasons,
            request_ids=request_ids,
            at_end=turn_of(asyncio.get_running_loop()).at_end,
            head_limits=_head_limits(settings.requests),
            patience=_patience(settings),
            most_requests=settings.connections.requests,
            bodies=_bodies(settings),
            charge=charge,
            load=load,
            streams=streams,
        )

    def date(self) -> bytes:
        """A Date line (RFC 9110 §6.6.1), made once a second."""
        now = int(self.wall())
        if now != self._date_second:
            self._date_second = now
            self._date = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self._date

    def exchanges(self) -> Iterator[Exchange]:
        """What is under way, on all connections."""
        for connection in self.connections:
            yield from connection.exchanges()

    def drain(self) -> None:
        """End idle connections now and the others after what is under way; every response says close."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.drain()


def _head_limits(requests: Requests) -> HeadLimits:
    return HeadLimits(requests.head, requests.request_line, requests.fields, requests.head_timeout)


def _patience(settings: Settings) -> Patience:
    requests = settings.requests
    return Patience(settings.connections.idle_timeout, requests.body_timeout, minimum_rate=requests.minimum_rate)


def _bodies(settings: Settings) -> dict[str, int]:
    """Octets of content by route, where there is a bound."""
    everywhere = settings.requests.maximum_body
    said = {route.name: everywhere if route.maximum_body is None else route.maximum_body for route in settings.routes}
    return {name: octets for name, octets in said.items() if octets is not None}
