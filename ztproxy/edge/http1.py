"""HTTP/1.1 towards clients (RFC 9112): one exchange at a time, in the order asked, until the connection ends.

Whatever happens (octets, a decision, the upstream's answer, room to write) leads to `advance`, which does all that can
be done now. No event finds the connection half way through another.
"""

import asyncio
from collections import deque
from math import inf

from ztproxy.edge.deadline import Deadline
from ztproxy.edge.exchange import Exchange
from ztproxy.edge.forwarded import read_peer
from ztproxy.edge.ill_formed import malformed
from ztproxy.edge.pace import Pace, Stall
from ztproxy.edge.parsed import Origin
from ztproxy.edge.requests import Requests
from ztproxy.edge.site import Site, logger
from ztproxy.edge.wire import Wire
from ztproxy.model import Connection, Reason, Refusal

_REQUEST_TIMEOUT = 408


class Http1:
    """The application of one connection."""

    __slots__ = (
        "_advancing",
        "_backlog",
        "_closed",
        "_deadline",
        "_due",
        "_half_closed",
        "_head_timed",
        "_loop",
        "_paused",
        "_put_off",
        "_queue",
        "_requests",
        "_stall",
        "_switched",
        "connection",
        "site",
        "stalled",
        "wire",
    )  # fmt: skip
    wire: Wire
    connection: Connection
    _loop: asyncio.AbstractEventLoop
    _requests: Requests
    _deadline: Deadline

    def __init__(self, site: Site) -> None:
        self.site = site
        self.stalled = False
        self._queue: deque[Exchange] = deque()
        self._switched: Exchange | None = None
        self._backlog = b""
        self._advancing = self._closed = self._paused = self._put_off = self._due = False
        self._head_timed = True
        self._half_closed = False
        self._stall: Stall | None = None

    # -- ztproxy.edge.wire.Application

    def connected(self, wire: Wire, connection: Connection) -> None:
        """Begin."""
        site = self.site
        self.wire = wire
        self.connection = connection
        self._requests = Requests(self, self._origin(), self._queue)
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._loop, site.monotonic, self._expired)
        self._deadline.within(site.head_limits.seconds)
        site.connections.add(self)
        if site.draining:
            self.drain()

    def _origin(self) -> Origin:
        connection = self.connection
        trusted = () if connection.anonymous else self.site.reading.trusted_proxies
        return Origin(connection, read_peer(connection.peer, trusted))

    def received(self, data: bytes) -> None:
        """Octets of requests, or of whatever was switched to."""
        if self._switched is not None and not self._backlog:
            self._switched.tunnel(data)
        elif not self._closed:
            self._backlog = self._backlog + data if self._backlog else data
            self.advance()

    def ended(self) -> None:
        """The client will send no more. What it asked in full is answered, for it may still read (RFC 9293 §3.6)."""
        if self._switched is not None:
            self._switched.client_ended()
            self.advance()
        else:
            self._half_closed = True
            if self._queue and not self._backlog:
                self._queue[-1].persistent = False
            self.advance()

    def lost(self) -> None:
        """The connection is gone."""
        self._closed = True
        self._backlog = b""
        self._requests.end()
        self._deadline.stop()
        if self._stall is not None:
            self._stall.stop()
        self.site.connections.discard(self)
        self._abandon()
        self._switched = None

    def pause_writing(self) -> None:
        """The client reads too slowly: the upstream waits, for as long as the client keeps to the minimum rate."""
        self.stalled = True
        if self._stall is None:
            patience = self.site.patience
            self._stall = Stall(self._loop, self.site.monotonic, self.wire, patience.body, patience.minimum_rate)
        self._stall.begin()
        if self._queue and (server := self._queue[0].server) is not None:
            server.pause()

    def resume_writing(self) -> None:
        """It has caught up."""
        self.stalled = False
        if self._stall is not None:
            self._stall.end()
        if self._queue and (server := self._queue[0].server) is not None:
            server.resume()
        self.advance()

    # -- ztproxy.edge.site.Open

    def drain(self) -> None:
        """Close at once if idle; a response that is to come will say close."""
        if not self._queue and not self._backlog and not self._requests.partial:
            self._close()

    def exchanges(self) -> tuple[Exchange, ...]:
        """The one that is under way, if any."""
        return (self._queue[0],) if self._queue else ()

    def renew(self, site: Site, connection: Connection) -> Exchange | None:
        """Serve by another site from now on; returns the exchange that ends under the one it began with.

        A request that has been read already, and only waits for the loop's turn to end, begins now, by the rules that
        it was read by. One that cannot begin, because its client does not read what it was answered before, is not
        served: whenever that will be, those rules no longer count.
        """
        if self._queue and not self._queue[0].started and not self.stalled:
            self._due = True
            self.advance()
        queue = self._queue
        left = queue[0] if queue and queue[0].started else None
        if len(queue) > (left is not None):
            queue.clear()
            if left is not None:
                left.persistent = False
                queue.append(left)
            self._requests.exhausted = True
            self._backlog = b""
        old, self.site, self.connection = self.site, site, connection
        if self in old.connections:
            old.connections.discard(self)
            site.connections.add(self)
        self._requests.renew(self._origin())
        if not queue and self._requests.exhausted:
            self._close()
        return left

    # -- ztproxy.edge.exchange.Carrier

    def switch(self, exchange: Exchange) -> None:
        """Octets pass as they are from here on; those that are here already, in the next turn."""
        self._switched = exchange
        self._loop.call_soon(self.advance)

    def advance(self) -> None:
        """Do all that can be done now: parse, start, hand on, end. The one place where a bug is caught."""
        if self._advancing:
            return
        self._advancing = True
        failed = False
        while True:
            try:
                if failed:
                    self._recover()
                while self._step():
                    pass
                break
            except Exception:  # noqa: BLE001 - exceptions are bugs, and end here (DESIGN §2)
                logger.exception("A bug, met on a connection of %s", self.connection.listener)
                if failed:
                    self._closed = True
                    self.wire.abort()
                    break
                failed = True
        self._advancing = False
        if not self._closed:
            self._rest()

    # -- inside

    def _recover(self) -> None:
        """After a bug: answer internal-error where that is still possible, else break the connection off."""
        queue = self._queue
        if self._closed or not queue or queue[0].done:
            self._closed = True
            self.wire.abort()
        else:
            queue[0].fail(Refusal(Reason.INTERNAL_ERROR, close=True))

    def _step(self) -> bool:
        """Parse if the exchange under way needs it, and go on with that; False when there is nothing to do."""
        queue = self._queue
        requests = self._requests
        parsed = False
        if self._backlog and not (queue and (queue[0].complete or queue[0].clogged)):
            if requests.exhausted:
                if not requests.upgraded:
                    self._backlog = b""  # what follows the last request is nobody's
            else:
                self._backlog = requests.parse(self._backlog)
                parsed = True
        if not queue:
            return parsed and bool(self._backlog)
        exchange = queue[0]
        if not exchange.started:
            if self.stalled or self._closed:
                return False  # who does not read its answers is asked nothing more
            if self._half_closed and not (exchange.complete or exchange.clogged or self._requests.exhausted):
                return self._readable(exchange)  # nothing begins of which the rest will never come
            if not self._due and not self._put_off:
                self._put_off = True
                self.site.at_end(self._begin)
            if not self._due:
                return self._readable(exchange)
            self._due = False
            exchange.start()
        exchange.proceed()
        if exchange.done and (exchange.complete or not exchange.discarding):
            queue.popleft()
            self._end(exchange)
            return not self._closed and bool(queue or self._backlog)
        if self._switched is not None:
            self._tunnel_backlog(exchange)
            return False
        return self._readable(exchange)

    def _readable(self, exchange: Exchange) -> bool:
        """Octets that are here already can be read on: nothing else would come to remind of them."""
        return bool(self._backlog) and not (exchange.complete or exchange.clogged or self._requests.exhausted)

    def _begin(self) -> None:
        """All that came in this turn of the loop has been read, on every connection: now decide."""
        self._put_off = False
        self._due = True
        self.advance()

    def _tunnel_backlog(self, exchange: Exchange) -> None:
        if self._backlog and not exchange.paused:
            data, self._backlog = self._backlog, b""
            exchange.tunnel(data)

    def _end(self, exchange: Exchange) -> None:
        """An exchange is over: the connection goes on, or ends."""
        now = self.site.monotonic()
        exchange.finish(now)
        if not exchange.persistent:
            self._close()
        elif not self._queue:
            self._head_timed = False
            self._deadline.until(now + self.site.patience.idle)
            if self.site.draining:
                self.drain()

    def _rest(self) -> None:
        """Before waiting: read on or not, and until when."""
        queue, deadline = self._queue, self._deadline
        if self._half_closed and not (self._backlog or (queue and (queue[0].complete or self._requests.exhausted))):
            self._close()  # what has not come in full never will
            self._abandon()
            return
        clogged = bool(self._backlog)
        if queue:
            exchange = queue[0]
            clogged = clogged or exchange.clogged
            if exchange.complete or clogged:
                deadline.at = inf
                if exchange.pace is not None:
                    exchange.pace.hold(self.site.monotonic())
            elif not exchange.discarding:
                deadline.until(self._body_due(exchange))
            elif not exchange.discard_timed:
                exchange.discard_timed = True
                deadline.within(self.site.patience.discard)
        elif not self._head_timed and self._requests.partial:
            self._head_timed = True
            deadline.within(self.site.head_limits.seconds)
        if clogged != self._paused:
            self._paused = clogged
            if clogged:
                self.wire.pause_reading()
            else:
                self.wire.resume_reading()

    def _body_due(self, exchange: Exchange) -> float:
        """When more of a body must have come."""
        now, patience = self.site.monotonic(), self.site.patience
        if exchange.pace is None:
            exchange.pace = Pace(now, patience.body, patience.minimum_rate)
        return exchange.pace.due(now, exchange.received)

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._backlog = b""
            self._deadline.stop()
            self.wire.close()

    def _abandon(self) -> None:
        """The client is gone: end what is under way. What was never started is not told of."""
        now = self.site.monotonic()
        while self._queue:
            exchange = self._queue.popleft()
            if exchange.started:
                exchange.client_gone()
                exchange.finish(now)

    def _expired(self) -> None:
        """The client let its time go by: 408 in the middle of a request, else just close (RFC 9110 §15.5.9)."""
        if self._queue:
            exchange = self._queue[0]
            exchange.fail(malformed("the request's content did not arrive in time", _REQUEST_TIMEOUT))
        elif self._requests.partial:
            self._requests.refuse(malformed("the request's head did not arrive in time", _REQUEST_TIMEOUT))
        else:
            self._close()
        self.advance()
