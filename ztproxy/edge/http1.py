"""HTTP/1.1 towards clients (RFC 9112): octets in, exchanges out, one at a time and in order.

llhttp splits the octets into messages; what it lets through and we do not is refused in `canonical`. Its callbacks only
collect: everything that decides runs after a piece was parsed, in `advance`. What is read ahead is bounded by a slice.
"""

import asyncio
from collections import deque
from math import inf

import httptools

from ztproxy.edge.canonical import Line, Moment, Origin, arrive, read_line
from ztproxy.edge.exchange import Exchange
from ztproxy.edge.field_section import FieldSection, read_fields
from ztproxy.edge.forwarded import read_peer
from ztproxy.edge.ill_formed import URI_TOO_LONG, malformed, too_large
from ztproxy.edge.site import Site, logger
from ztproxy.edge.wire import Wire
from ztproxy.model import Arrived, Connection, Reason, Refusal

SLICE = 2048
"""Octets parsed at a time outside a body: so many requests can be read ahead at most."""
BODY_SLICE = 16_384
"""Octets of a chunked body parsed at a time; of a body with a length, what is left of it."""
LOOSE = 16_384
"""Octets of chunk framing and trailers allowed beside what each chunk needs (CVE-2023-39326)."""
PER_CHUNK = 16
_REQUEST_TIMEOUT = 408


class Http1:
    """The application of one connection."""

    __slots__ = (
        "_advancing", "_backlog", "_closed", "_current", "_deadline", "_fields", "_head_octets", "_in_head",
        "_last_raw", "_last_section", "_last_version", "_loop", "_origin", "_overhead", "_parser", "_parsing",
        "_paused", "_queue", "_stall_deadline", "_switched", "_target", "_timer", "_timer_at", "connection",
        "site", "stalled", "wire",
    )  # fmt: skip
    wire: Wire
    connection: Connection
    _loop: asyncio.AbstractEventLoop
    _origin: Origin

    def __init__(self, site: Site) -> None:
        self.site = site
        self.stalled = False
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._switched: Exchange | None = None
        self._backlog = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._in_head = False
        self._head_octets = self._overhead = 0
        self._parsing = True
        self._advancing = self._closed = self._paused = False
        self._last_raw: list[tuple[bytes, bytes]] = []
        self._last_version = ""
        self._last_section: FieldSection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline = self._stall_deadline = inf

    # -- ztproxy.edge.wire.Application

    def connected(self, wire: Wire, connection: Connection) -> None:
        """Begin."""
        self.wire = wire
        self.connection = connection
        self._loop = asyncio.get_running_loop()
        self._origin = Origin(connection, read_peer(connection.peer, self.site.reading.trusted_proxies))
        self.site.connections.add(self)
        self._expect_by(self.site.head_limits.seconds)
        if self.site.draining:
            self.drain()

    def received(self, data: bytes) -> None:
        """Octets of requests, or of whatever was switched to."""
        if self._switched is not None:
            self._switched.tunnel(data)
        elif not self._closed:
            self._backlog = self._backlog + data if self._backlog else data
            self.advance()

    def ended(self) -> None:
        """The client will send no more. In the middle of an exchange it is taken to be gone."""
        if self._switched is not None:
            self._switched.client_ended()
            self.advance()
        else:
            self._close()
            self._abandon()

    def lost(self) -> None:
        """The connection is gone."""
        self._closed = True
        self._abandon()
        self._parser = None  # it holds our methods: no cycle is left to the collector
        self._backlog = b""
        self.site.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        """The client reads too slowly: the upstream waits, for so long."""
        self.stalled = True
        self._stall_deadline = self.site.monotonic() + self.site.patience.body
        self._arm(self._stall_deadline)
        if self._queue and self._queue[0].server is not None:
            self._queue[0].server.pause()

    def resume_writing(self) -> None:
        """It has caught up."""
        self.stalled = False
        self._stall_deadline = inf
        if self._queue and self._queue[0].server is not None:
            self._queue[0].server.resume()

    # -- ztproxy.edge.site.Open

    def drain(self) -> None:
        """Close at once if idle; a response that is to come will say close."""
        if not self._queue and not self._backlog and not self._in_head:
            self._close()

    # -- ztproxy.edge.exchange.Carrier

    def switch(self, exchange: Exchange) -> None:
        """Octets pass as they are from here on; those that are here already, in the next turn."""
        self._switched = exchange
        self._deadline = inf
        self._loop.call_soon(self.advance)

    def advance(self) -> None:
        """Do all that can be done now: parse, start, hand on, end. The one place where a bug is caught."""
        if self._advancing:
            return
        self._advancing = True
        while True:
            try:
                while self._step():
                    pass
                break
            except Exception:  # noqa: BLE001 - the edge is where exceptions end (DESIGN §2)
                logger.exception("A bug, met on a connection of %s", self.connection.listener)
                if not self._recovered():
                    break
        self._advancing = False
        self._rest()

    def _recovered(self) -> bool:
        """Answer internal-error where that is still possible; False when nothing is left to do."""
        queue = self._queue
        if self._closed or not queue or queue[0].done:
            self._close()
            self.wire.abort()
            return False
        queue[0].fail(Refusal(Reason.INTERNAL_ERROR, close=True))
        return True

    def _step(self) -> bool:
        """One thing that can be done now; False when there is none."""
        queue = self._queue
        if queue:
            exchange = queue[0]
            if not exchange.started:
                exchange.start()
            exchange.proceed()
            if exchange.over:
                queue.popleft()
                self._end(exchange)
                return not self._closed
            if self._switched is not None:
                return self._tunnel_backlog(exchange)
            if exchange.complete or exchange.clogged:
                return False
        if not self._backlog or self._closed:
            return False
        if not self._parsing:
            self._backlog = b""  # what follows the last request is nobody's
            return False
        self._parse()
        return True

    def _tunnel_backlog(self, exchange: Exchange) -> bool:
        data, self._backlog = self._backlog, b""
        if data and not exchange.paused:
            exchange.tunnel(data)
        return False

    def _end(self, exchange: Exchange) -> None:
        """An exchange is over: the connection goes on, or ends."""
        now = self.site.monotonic()
        exchange.finish()
        if not exchange.persistent:
            self._close()
        elif not self._queue:
            partial = self._in_head or self._head_octets
            self._deadline = now + (self.site.head_limits.seconds if partial else self.site.patience.idle)
            self._arm(self._deadline)
            if self.site.draining:
                self.drain()

    def _rest(self) -> None:
        """Before waiting: read on or not, and until when."""
        queue = self._queue
        clogged = bool(self._backlog)
        if queue:
            exchange = queue[0]
            clogged = clogged or exchange.clogged
            if exchange.complete or (clogged and not exchange.discarding):
                self._deadline = inf
            elif self._deadline == inf or not exchange.discarding:
                self._expect_by(self.site.patience.discard if exchange.discarding else self.site.patience.body)
        if clogged != self._paused and not self._closed:
            self._paused = clogged
            if clogged:
                self.wire.pause_reading()
            else:
                self.wire.resume_reading()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._deadline = inf
            self._backlog = b""
            self.wire.close()

    def _abandon(self) -> None:
        """The client is gone: end what is under way. What was never started is not told of."""
        while self._queue:
            exchange = self._queue.popleft()
            if exchange.started:
                exchange.client_gone()
                exchange.finish()

    # -- parsing

    def _parse(self) -> None:
        """Parse a slice of what has come."""
        backlog, current, parser = self._backlog, self._current, self._parser
        if parser is None:
            return
        size = SLICE
        if current is not None:
            size = BODY_SLICE if current.length is None else max(SLICE, current.length - current.received)
        if len(backlog) <= size:
            piece, self._backlog = backlog, b""
        else:
            piece, self._backlog = backlog[:size], backlog[size:]
        before = current.received if current is not None else 0
        queued = len(self._queue)
        in_head = self._in_head
        try:
            parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._parsing = False
            self._backlog = piece[upgrade.args[0] :] + self._backlog
        except httptools.HttpParserCallbackError:
            raise
        except httptools.HttpParserError as wrong:
            self._refuse(malformed(str(wrong)))
        else:
            self._count(piece, current, before, started=len(self._queue) != queued or (self._in_head and not in_head))

    def _count(self, piece: bytes, current: Exchange | None, before: int, *, started: bool) -> None:
        """Bound what llhttp does not: an unfinished head, and a chunked body's framing."""
        if self._current is None:
            if current is not None or (started and self._queue):
                self._head_octets = 0 if not self._in_head else 1
                return
            begins = not self._head_octets
            self._head_octets += len(piece)
            if self._head_octets > self.site.head_limits.head:
                self._refuse(too_large("the request's head is too large"))
            elif len(self._target) > self.site.head_limits.request_line:
                self._refuse(too_large("the request line is too long", URI_TOO_LONG))
            elif begins and not self._queue:
                self._expect_by(self.site.head_limits.seconds)
        elif self._current is current and current.length is None:
            self._overhead += len(piece) - 3 * (current.received - before)
            self._overhead = max(self._overhead, 0)
            if self._overhead > LOOSE:
                self._refuse(malformed("too much chunk framing for the content"))

    def _refuse(self, refusal: Refusal) -> None:
        """What has come cannot be read on: refuse it in its turn, and read no more."""
        if not self._parsing:
            return
        self._parsing = False
        self._backlog = b""
        current = self._current
        if current is not None:
            self._current = None
            if current is self._queue[0] or not current.started:
                current.fail(refusal)
            return
        site = self.site
        exchange = Exchange(self, refusal, site.request_ids(), site.wall(), site.monotonic())
        exchange.persistent = False
        self._queue.append(exchange)

    def on_message_begin(self) -> None:
        """llhttp: a request begins."""
        self._in_head = True
        self._fields = []
        self._target = b""

    def on_url(self, piece: bytes) -> None:
        """llhttp: the target, perhaps in pieces."""
        self._target = self._target + piece if self._target else piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a field; after the head, one of the trailer section, which goes no further (RFC 9110 §6.5.1)."""
        if self._in_head and len(self._fields) <= self.site.head_limits.fields:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """llhttp: the head is complete."""
        self._in_head = False
        if not self._parsing:
            return
        site = self.site
        moment = Moment(site.request_ids(), site.wall(), site.monotonic())
        parser = self._parser
        line = Line(parser.get_method(), self._target, "HTTP/" + parser.get_http_version())  # type: ignore[union-attr]
        request = self._read(line, moment)
        exchange = Exchange(self, request, moment.request_id, moment.wall, moment.monotonic)
        exchange.is_head = line.method == b"HEAD"
        if isinstance(request, Refusal):
            exchange.persistent = not request.close
            self._parsing = exchange.persistent
        section = self._last_section
        if section is not None:
            exchange.persistent = exchange.persistent and not section.close and section.upgrade is None
            exchange.length = section.content_length
            exchange.expects = section.expects
            exchange.version_11 = line.version == "HTTP/1.1"
        self._current = exchange
        self._overhead = self._head_octets = 0
        self._queue.append(exchange)

    def _read(self, line: Line, moment: Moment) -> Arrived | Refusal:
        """The request that the head makes. A client that repeats its fields has them read once."""
        site, raw = self.site, self._fields
        if len(line.target) + len(line.method) + len(line.version) + 4 > site.head_limits.request_line:
            return too_large("the request line is too long", URI_TOO_LONG)
        if refusal := read_line(line):
            return refusal
        section = self._last_section
        if section is None or raw != self._last_raw or line.version != self._last_version:
            self._last_section = None
            size = len(line.target) + sum([len(name) + len(value) + 4 for name, value in raw])
            if size > site.head_limits.head:
                return too_large("the request's head is too large")
            read = read_fields(raw, line.version, site.reading.cleaning.verdicts, site.reading.maximum_fields)
            if isinstance(read, Refusal):
                return read
            self._last_section = section = read
            self._last_raw, self._last_version = raw, line.version
        return arrive(line, section, moment, self._origin, site.reading)

    def on_body(self, data: bytes) -> None:
        """llhttp: content."""
        if self._current is not None:
            self._current.take(data)

    def on_chunk_header(self) -> None:
        """llhttp: a chunk begins, and has earned its framing."""
        self._overhead -= PER_CHUNK

    def on_message_complete(self) -> None:
        """llhttp: the request is complete. After the connection's last one nothing is read."""
        current, self._current = self._current, None
        if current is not None:
            current.complete = True
            if not current.persistent:
                self._parsing = False

    # -- time

    def _expect_by(self, seconds: float) -> None:
        """Something must come within so many seconds."""
        self._deadline = self.site.monotonic() + seconds
        self._arm(self._deadline)

    def _arm(self, at: float) -> None:
        """The timer fires at the latest then; a later deadline waits for it to fire (one timer, seldom set anew)."""
        if at < self._timer_at and not self._closed:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_later(max(0.0, at - self.site.monotonic()), self._fired)

    def _fired(self) -> None:
        self._timer = None
        self._timer_at = inf
        now = self.site.monotonic()
        if self._stall_deadline <= now:
            self.wire.abort()
        elif self._deadline <= now:
            self._expired()
        else:
            self._arm(min(self._deadline, self._stall_deadline, now + self.site.patience.idle))

    def _expired(self) -> None:
        """The client let its time go by: 408 in the middle of a request, else just close (RFC 9110 §15.5.9)."""
        self._deadline = inf
        if self._queue:
            exchange = self._queue[0]
            exchange.discarding = False
            exchange.persistent = False
            exchange.fail(malformed("the request's content did not arrive in time", _REQUEST_TIMEOUT))
        elif self._in_head:
            self._refuse(malformed("the request's head did not arrive in time", _REQUEST_TIMEOUT))
        else:
            self._close()
        self.advance()
