"""One request and its response on a connection: what the upstream sees of the client (`ztproxy.exchange.Client`).

An exchange is answered once. Everything that arrives after its end is ignored.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from ztproxy.edge import eager
from ztproxy.edge.refusals import render
from ztproxy.edge.response_head import CONTINUE, WITHOUT_CONTENT, render_head
from ztproxy.edge.site import Site
from ztproxy.edge.wire import Wire
from ztproxy.exchange import Server
from ztproxy.model import (
    Admitted,
    Answer,
    Answered,
    Arrived,
    Authorized,
    Connection,
    Finished,
    Outcome,
    Reason,
    Refusal,
    Refused,
)

DRAINED = 65_536
"""Octets of a refused body that are read and thrown away so that the connection lives on."""
HELD = 65_536
"""Octets of a body that may wait for the decision or the upstream before reading is paused."""
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
GONE = Refusal(Reason.REQUEST_MALFORMED, cause="the client went away before the decision")


class Carrier(Protocol):
    """The connection that an exchange happens on."""

    wire: Wire
    site: Site
    connection: Connection
    stalled: bool
    """The client reads too slowly."""

    def advance(self) -> None:
        """Something has changed: do what can be done now."""

    def switch(self, exchange: "Exchange") -> None:
        """From here on octets pass as they are."""


class Exchange:
    """From a request's head to the end of its response."""

    __slots__ = (
        "_began", "_bodiless", "_carrier", "_chunked", "_delivered", "_left", "_request_id", "_sent", "_wall",
        "complete", "cut", "discarding", "done", "expects", "is_head", "length", "outcome", "paused", "persistent",
        "pieces", "received", "request", "server", "started", "status", "switched", "task", "version_11", "waiting",
    )  # fmt: skip

    def __init__(
        self, carrier: Carrier, request: Arrived | Refusal, request_id: str, wall: float, began: float
    ) -> None:
        self._carrier = carrier
        self._request_id = request_id
        self._wall = wall
        self._began = began
        self.request = request
        """What was asked; a `Refusal` when it could not be read."""
        self.is_head = self.expects = self.complete = False
        self.version_11 = self.persistent = True
        self.length: int | None = 0
        self.pieces: list[bytes] = []
        """Content received and not yet handed on."""
        self.waiting = self.received = 0
        self._delivered = self.paused = False
        self.started = self.done = self.discarding = self.switched = False
        self.task: asyncio.Task[Outcome] | None = None
        self.outcome: Outcome | None = None
        self.server: Server | None = None
        self.status = self._sent = 0
        self._chunked = self._bodiless = False
        self._left: int | None = None
        self.cut: str | None = None

    # -- what the connection asks and tells

    @property
    def clogged(self) -> bool:
        """No more content can be taken now."""
        return self.paused or self.waiting >= HELD

    @property
    def over(self) -> bool:
        """The response is complete, and so is what is read of the request."""
        return self.done and (self.complete or not self.discarding)

    def take(self, data: bytes) -> None:
        """Content of the request."""
        self.received += len(data)
        if not self.done:
            self.waiting += len(data)
            self.pieces.append(data)

    def start(self) -> None:
        """Ask the pipeline."""
        self.started = True
        if isinstance(self.request, Refusal):
            return self._act(Refused(self.request, None))
        outcome = eager.run(self._carrier.site.pipeline(self.request))
        if isinstance(outcome, asyncio.Task):
            self.task = outcome
            outcome.add_done_callback(self._decided)
            return None
        return self._act(outcome)

    def proceed(self) -> None:
        """Act on a decision that has come, and hand content on."""
        task = self.task
        if task is not None and task.done():
            self.task = None
            self._act(Refused(GONE, None) if task.cancelled() else task.result())
        server = self.server
        if server is None or self.done or self.switched:
            if self.done:
                self._drop()
            return
        if self.pieces:
            pieces, self.pieces, self.waiting = self.pieces, [], 0
            for piece in pieces:
                server.send_body(piece)
        if self.complete and not self._delivered:
            self._delivered = True
            server.send_end()

    def fail(self, refusal: Refusal) -> None:
        """Give the exchange up: refuse it if nothing was answered yet, else break the response off."""
        if self.done:
            self.persistent = self.discarding = False
            return
        if self.task is not None:
            self.task.cancel()
            self.task = None
        if self.server is not None:
            self.server.abort()
        if self.status:
            self._break_off(refusal.detail or refusal.reason.word)
        elif self.started:
            self._refuse(refusal)
        elif not isinstance(self.request, Refusal):
            self.request = refusal
            self.persistent = False

    def client_gone(self) -> None:
        """The client is away: nothing more can be answered."""
        if self.task is not None:
            self.task.remove_done_callback(self._decided)
            self.task.cancel()
            self.task = None
        if not self.done:
            self.cut = "the client went away"
            self.done = True
            if self.server is not None:
                self.server.abort()

    def client_ended(self) -> None:
        """After a switch of protocols: the client closed its side."""
        if not self.done and self.server is not None:
            self.done = True
            self.server.send_end()

    def tunnel(self, data: bytes) -> None:
        """Octets after a switch of protocols."""
        self.received += len(data)
        if not self.done and self.server is not None:
            self.server.send_body(data)

    def finish(self) -> None:
        """Tell of it, and let go of the upstream."""
        server, self.server = self.server, None
        site = self._carrier.site
        at = None if isinstance(self.request, Refusal) else self.request
        site.finished(
            Finished(
                outcome=self.outcome or Refused(GONE, at),
                request_id=self._request_id,
                wall=self._wall,
                connection=self._carrier.connection,
                status=self.status,
                bytes_in=self.received,
                bytes_out=self._sent,
                duration=site.monotonic() - self._began,
                upstream=server.name if server else None,
                upstream_duration=server.duration if server else None,
                cut=self.cut,
            )
        )

    # -- ztproxy.exchange.Client

    def send_head(self, status: int, fields: Sequence[tuple[bytes, bytes]], length: int | None) -> None:
        """Begin the response. One that comes before the request's end is the connection's last."""
        if self.done or self.status:
            return
        if not self.complete or self._carrier.site.draining:
            self.persistent = False
        self._write_head(status, fields, length)

    def send_switch(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Answer 101."""
        if self.done or self.status:
            return
        site = self._carrier.site
        self.status = 101
        self.switched = True
        self.persistent = False
        head = render_head(101, fields, self._id_line(), site.left_out, bytes)
        self._carrier.wire.write(SWITCHING + head.partition(b"\r\n")[2])
        self._carrier.switch(self)

    def send_body(self, data: bytes) -> None:
        """Send content on, within what was announced."""
        if self.done or not data or self._bodiless:
            return None
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                if self.server is not None:
                    self.server.abort()
                return self._break_off("the upstream sent more than it announced")
        self._sent += len(data)
        self._carrier.wire.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        return None

    def send_end(self) -> None:
        """The response is complete."""
        if self.done:
            return None
        if self._left:
            return self._break_off("the upstream sent less than it announced")
        if self._chunked:
            self._carrier.wire.write(b"0\r\n\r\n")
        self.done = True
        return self._carrier.advance()

    def refuse(self, refusal: Refusal) -> None:
        """The upstream has no response."""
        if self.done or self.status:
            return
        outcome = self.outcome
        if isinstance(outcome, Authorized):
            at = Admitted(outcome.arrived, outcome.route, outcome.certificate, outcome.token, outcome.limit)
            told = msgspec.structs.replace(
                refusal, decision=refusal.decision or outcome.decision, limit=refusal.limit or outcome.limit
            )
            self.outcome = Refused(told, at)
        self._refuse(refusal)
        self._carrier.advance()

    def abort(self, cause: str) -> None:
        """The upstream broke off."""
        if self.done:
            return None
        if not self.status:
            return self.refuse(Refusal(Reason.UPSTREAM_PROTOCOL_ERROR, cause=cause))
        return self._break_off(cause)

    def pause(self) -> None:
        """The upstream takes no more content for now."""
        self.paused = True
        self._carrier.advance()

    def resume(self) -> None:
        """It does again."""
        self.paused = False
        self._carrier.advance()

    # -- inside

    def _decided(self, _task: asyncio.Task[Outcome]) -> None:
        self._carrier.advance()

    def _act(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if isinstance(outcome, Authorized):
            carrier = self._carrier
            if self.expects and not self.received and not self.complete:
                carrier.wire.write(CONTINUE)
            self.server = server = carrier.site.forward(outcome, self)
            if carrier.stalled:
                server.pause()
        elif isinstance(outcome, Refused):
            self._refuse(outcome.refusal)
        else:
            self._answer(outcome.answer, close=False)

    def _refuse(self, refusal: Refusal) -> None:
        if self.outcome is None or isinstance(self.outcome, Answered):
            self.outcome = Refused(refusal, None if isinstance(self.request, Refusal) else self.request)
        fields = () if isinstance(self.request, Refusal) else self.request.fields
        accept = [value for name, value in fields if name == b"accept"]
        site = self._carrier.site
        answer = render(refusal, self._request_id, accept, show_reasons=site.show_reasons)
        self._answer(answer, close=refusal.close)

    def _answer(self, answer: Answer, *, close: bool) -> None:
        """Answer at once. What is left of a small body is read and dropped, else the connection ends."""
        if not self.complete:
            self.discarding = not self.expects and self.length is not None and self.length <= DRAINED
        if close or self._carrier.site.draining or not (self.complete or self.discarding):
            self.persistent = self.discarding = False
        self._write_head(answer.status, answer.fields, len(answer.body))
        if answer.body and not self._bodiless:
            self._sent += len(answer.body)
            self._carrier.wire.write(answer.body)
        self.done = True
        self._drop()

    def _drop(self) -> None:
        self.pieces.clear()
        self.waiting = 0

    def _write_head(self, status: int, fields: Sequence[tuple[bytes, bytes]], length: int | None) -> None:
        self.status = status
        without = status in WITHOUT_CONTENT
        self._bodiless = self.is_head or without
        self._left = 0 if self._bodiless else length
        framing = b""
        if length is not None and not without:
            framing = b"Content-Length: %d\r\n" % length
        elif not self._bodiless:
            self._chunked = self.version_11
            if self._chunked:
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                self.persistent = False
        if not self.persistent:
            framing += b"Connection: close\r\n"
        site = self._carrier.site
        self._carrier.wire.write(render_head(status, fields, framing + self._id_line(), site.left_out, site.date))

    def _id_line(self) -> bytes:
        return b"X-Request-Id: %b\r\n%b" % (self._request_id.encode(), self._carrier.site.set_always)

    def _break_off(self, cause: str) -> None:
        """The client must see that the response is incomplete: framing tells, or else a reset."""
        self.cut = cause
        self.persistent = self.discarding = False
        self.done = True
        framed = self._chunked or self._left is not None
        if not framed or self.switched:
            self._carrier.wire.abort()
        self._carrier.advance()
