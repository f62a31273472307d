"""The request's way out: finding a connection, writing head and content, and holding the client back."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from ztproxy.config.upstreams import Timeouts
from ztproxy.exchange import Client
from ztproxy.model import Authorized, Reason, Refusal
from ztproxy.upstream.connection import HIGH_WATER, Connection
from ztproxy.upstream.content import Content
from ztproxy.upstream.deadlines import NEVER, Deadlines
from ztproxy.upstream.head import RequestHead
from ztproxy.upstream.pool import Pool

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be sent again when nobody knows whether they arrived (RFC 9110 §9.2.2)."""


class Target:
    """What all exchanges of one route share.

    Args:
        head: writes its requests' heads.
        timeouts: how long its servers may take.
        deadlines: watches its exchanges.
        loop: the loop that it is served on.
        clock: a monotonic clock, seconds; for durations.
        at_end: puts off to the end of the loop's turn.
        stream_timeouts: what holds in place of `timeouts` once an exchange has become a stream; None: these are they.
        event_streams: media types of responses that are streams.
    """

    __slots__ = (
        "at_end",
        "clock",
        "deadlines",
        "event_streams",
        "head",
        "idle",
        "loop",
        "of_streams",
        "response",
        "stream",
    )

    def __init__(
        self,
        head: RequestHead,
        timeouts: Timeouts,
        deadlines: Deadlines,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        at_end: Callable[[Callable[[], None]], None],
        stream_timeouts: Timeouts | None = None,
        event_streams: frozenset[bytes] = frozenset(),
    ) -> None:
        self.head = head
        self.response = timeouts.response
        """Seconds; read with each request, so not by way of the settings."""
        self.idle = timeouts.idle
        self.deadlines = deadlines
        self.loop = loop
        self.clock = clock
        self.at_end = at_end
        self.event_streams = event_streams
        self.stream: Target | None = None
        """What holds for a stream; None: this is what holds for streams."""
        if stream_timeouts is not None:
            self.stream = Target(head, stream_timeouts, deadlines, loop=loop, clock=clock, at_end=at_end)


class Sending(ABC):
    """The half of an exchange that writes; `ztproxy.upstream.forwarding.Exchange` is the other half."""

    __slots__ = (
        "_answered",
        "_authorized",
        "_client",
        "_client_paused",
        "_connecting",
        "_connection",
        "_content",
        "_ended",
        "_flushing",
        "_head",
        "_paused",
        "_pool",
        "_retried",
        "_started",
        "_target",
        "_written",
        "deadline",
        "duration",
        "name",
        "switched",
    )

    def __init__(self, target: Target, authorized: Authorized, client: Client, pool: Pool) -> None:
        self._target = target
        self._authorized = authorized
        self._client = client
        self._pool = pool
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection | Refusal] | None = None
        length = authorized.arrived.content_length
        self._content = None if length == 0 else Content(length)
        self._head = b""
        self._written = self._flushing = self._retried = self._answered = self._ended = False
        self._paused = self._client_paused = False
        self._started = 0.0
        self.deadline = NEVER
        self.duration: float | None = None
        self.name = ""
        self.switched = False

    @abstractmethod
    def on_response(self) -> None:
        """The connection's reader has news."""

    @abstractmethod
    def on_switched_data(self, data: bytes) -> None:
        """Octets of the protocol switched to."""

    @abstractmethod
    def on_lost(self, error: Exception | None) -> None:
        """The connection is gone."""

    @abstractmethod
    def expire(self) -> None:
        """A time limit has passed."""

    @abstractmethod
    def stop(self) -> None:
        """The proxy is closing."""

    @abstractmethod
    def _fail(self, reason: Reason, cause: str) -> None:
        """End the exchange, in whatever way the client can still be told."""

    @abstractmethod
    def _refuse(self, refusal: Refusal) -> None:
        """End it before anything of a response was handed over."""

    def start(self) -> None:
        """Send the head on an idle connection, or connect. Calls nothing of the client's before it returns."""
        self._target.deadlines.watch(self)
        pool = self._pool
        pool.requests += 1
        connection = pool.take() if self._is_replayable() else pool.take_silent()
        if connection is None:
            self._connect()
        else:
            self._attach(connection)

    def send_body(self, data: bytes) -> None:
        """Content of the request, or raw octets after a switch of protocols."""
        if self._ended or not data:
            return
        connection, content = self._connection, self._content
        if self.switched and connection is not None:
            self._set_deadline(self._target.idle)
            connection.transport.write(data)
            return
        problem = "content where none was declared" if content is None else content.add(data)
        if content is None or problem is not None:
            self._fail(Reason.INTERNAL_ERROR, problem or "")
        elif content.waiting > HIGH_WATER:
            self.on_full() if connection is None else self._flush()
        elif connection is not None and not self._flushing:
            self._flushing = True
            self._target.at_end(self._flush)

    def send_end(self) -> None:
        """The request's content is complete; after a switch of protocols: the client closed its side."""
        connection, content = self._connection, self._content
        if self._ended:
            return
        if self.switched and connection is not None:
            self._half_close(connection)
        elif content is not None and not content.ended:
            problem = content.end()
            if problem is not None:
                self._fail(Reason.INTERNAL_ERROR, problem)
            elif connection is not None:
                self._flush()

    def on_full(self) -> None:
        """The server reads too slowly."""
        if not self._client_paused:
            self._client_paused = True
            self._client.pause()

    def on_drained(self) -> None:
        """The server has caught up."""
        if self._client_paused:
            self._client_paused = False
            self._set_deadline(self._target.idle)
            self._client.resume()

    def _connect(self) -> None:
        """A connection has to be made: the one thing that needs a task."""
        self._connecting = self._target.loop.create_task(self._pool.connect())
        self._connecting.add_done_callback(self._on_found)

    def _on_found(self, task: "asyncio.Task[Connection | Refusal]") -> None:
        self._connecting = None
        if task.cancelled():
            return None
        wrong = task.exception()
        if wrong is not None:
            context = {"message": "connecting to an upstream failed", "exception": wrong}
            self._target.loop.call_exception_handler(context)
            return self._refuse(Refusal(Reason.INTERNAL_ERROR, cause=repr(wrong)))
        found = task.result()
        if isinstance(found, Refusal):
            return self._refuse(found)
        if self._ended:
            return self._pool.put(found, self._target.loop.time())
        return self._attach(found)

    def _attach(self, connection: Connection) -> None:
        """Begin on a connection; content that is on its way joins the head in one write."""
        self._connection = connection
        self.name = self._pool.name
        arrived = self._authorized.arrived
        head = self._target.head.write(self._authorized, self._pool.host)
        if isinstance(head, Refusal):
            self._target.loop.call_soon(self._refuse, head)
            return
        self._head = head
        connection.begin(self, asks_head=arrived.method == "HEAD", asks_switch=arrived.upgrade is not None)
        if self._paused:
            connection.pause_reading()
        if not connection.alive:
            self._target.loop.call_soon(self.on_lost, None)
        elif connection.reused or not (self._content is None or self._content.ended or self._content.waiting):
            self._flushing = True
            self._target.at_end(self._flush)
        else:  # a server that refuses our certificate resets the connection soon after it was made
            self._flush()

    def _flush(self) -> None:
        """Write what is held."""
        self._flushing = False
        connection, content = self._connection, self._content
        if connection is None or not connection.alive:
            return
        pieces = [] if content is None else content.take()
        if not self._written:
            self._written = True
            self._started = self._target.clock()
            pieces.insert(0, self._head)
        ended = content is None or content.ended
        self._set_deadline(self._target.response if ended else self._target.idle)
        if len(pieces) == 1:
            connection.transport.write(pieces[0])
        elif pieces:
            connection.transport.writelines(pieces)
        if self._client_paused and connection.transport.get_write_buffer_size() <= HIGH_WATER:
            self.on_drained()

    def _set_deadline(self, seconds: float) -> None:
        """While the client is the one who is waited for, the edge's time limits count."""
        self.deadline = NEVER if self._paused else self._target.loop.time() + seconds

    def _may_retry(self, connection: Connection) -> bool:
        """Once, and only where nothing was sent, or where sending it again changes nothing (RFC 9112 §9.3.1)."""
        if self._retried or connection.reader.started:
            return False
        return not self._written or (connection.reused and self._is_replayable())

    def _is_replayable(self) -> bool:
        """Whether sending it twice is the same as sending it once."""
        return self._content is None and self._authorized.arrived.method in IDEMPOTENT

    def _half_close(self, connection: Connection) -> None:
        """The client will send no more. Over TLS asyncio cannot say so and go on reading: then it is the end."""
        if connection.transport.can_write_eof():
            connection.transport.write_eof()
        else:
            self._end()
            connection.close_gently()
            self._client.send_end()

    def _give_up(self) -> None:
        connection = self._connection
        self._end()
        if connection is not None:
            connection.discard()
        if self._connecting is not None:
            self._connecting.cancel()

    def _end(self) -> None:
        self._ended = True
        self._connection = None
        self._content = None
        self._target.deadlines.forget(self)
        if self._written:
            self.duration = self._target.clock() - self._started
        if self._client_paused:
            self._client_paused = False
            self._client.resume()
