"""One request and its response on a connection: what the upstream sees of the client (`ztproxy.exchange.Client`).

An exchange is answered once. Everything that arrives after its end is ignored.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Protocol

from ztproxy.config.streams import WEBSOCKET
from ztproxy.edge import eager
from ztproxy.edge.answering import Answering
from ztproxy.edge.canonical import unread
from ztproxy.edge.collecting import Collecting
from ztproxy.edge.ill_formed import TOO_MUCH
from ztproxy.edge.pace import Pace
from ztproxy.edge.parsed import Moment
from ztproxy.edge.response_head import CONTINUE, render_head
from ztproxy.edge.site import Charge, Site
from ztproxy.edge.websocket import CloseCode, Frames, close_frame
from ztproxy.edge.wire import Wire
from ztproxy.exchange import Server
from ztproxy.model import (
    Answered,
    Arrived,
    Authorized,
    Connection,
    Decided,
    Finished,
    Reason,
    Refusal,
    Refused,
    WithContent,
)

HELD = 65_536
"""Octets of a body that may wait for the decision or the upstream before reading is paused."""
GONE = Refusal(Reason.CLIENT_GONE)


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


class Exchange(Answering):
    """From a request's head to the end of its response. The class holds the defaults."""

    paused = False
    """The upstream takes no content for now."""
    started = False
    discard_timed = False
    task: asyncio.Task[Decided] | eager.Continued[Decided] | None = None
    server: Server | None = None
    cut: str | None = None
    pace: Pace | None = None
    """How the client sends content that has not come yet."""
    maximum: float = inf
    """Octets of content that may be handed on."""
    frames: Frames | None = None
    """After a switch to WebSocket: where the server's frames end."""
    registered = False
    _leaving: Refusal | None = None
    """The WebSocket ends as soon as no frame is half way through."""
    over = False
    """It has been told of: nothing more comes."""
    _delivered = False

    def __init__(
        self, carrier: Carrier, request: Arrived | Refusal, request_id: str, wall: float, began: float
    ) -> None:
        super().__init__(carrier.wire, carrier.site, request_id, request)
        self._carrier = carrier
        self.wall = wall
        self.began = began

    # -- what the connection asks and tells

    @property
    def deciding(self) -> bool:
        """It waits for a decision."""
        return self.task is not None

    @property
    def clogged(self) -> bool:
        """No more content can be taken now."""
        return self.paused or self.waiting >= HELD

    def start(self) -> None:
        """Ask the pipeline."""
        self.started = True
        load = self.site.load
        load.in_flight += 1
        if load.in_flight > load.limit:
            return self._act(Refused(load.refuse(), self.at()))
        if not isinstance(self.request, Refusal):
            outcome = eager.run(self.site.pipeline(self.request))
        elif self.site.charge is None:
            return self._act(Refused(self.request, None))
        else:
            outcome = eager.run(self._charged(self.request, self.site.charge))
        return self._await(outcome)

    def proceed(self) -> None:
        """Act on a decision that has come, and hand content on."""
        task = self.task
        if task is not None and task.done():
            self.task = None
            self._act(Refused(GONE, self.at()) if task.cancelled() else task.result())
        server = self.server
        if server is None or self.done or self.switched:
            return self.drop() if self.done else None
        if self._pieces:
            if self.received > self.maximum:
                return self.fail(TOO_MUCH)
            pieces, self._pieces, self.waiting = self._pieces, [], 0
            for piece in pieces:
                server.send_body(piece)
        if self.complete and not self._delivered:
            self._delivered = True
            server.send_end()
        return None

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
            self.answer_refusal(refusal)
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
        """After a switch of protocols: the client closed its side; the server may still have something to say."""
        if not self.done and self.server is not None:
            self.server.send_end()

    def tunnel(self, data: bytes) -> None:
        """Octets after a switch of protocols."""
        self.received += len(data)
        if not self.done and self.server is not None:
            self.server.send_body(data)

    def end(self, refusal: Refusal, code: CloseCode) -> None:
        """The right to go on has ended: tell the client so where that can still be done, else break off."""
        frames = self.frames
        if self.done or not self.switched:
            self.fail(refusal)
        elif frames is not None and code is CloseCode.GOING_AWAY and not frames.between:
            self._leaving = refusal
        else:
            if self.server is not None:
                self.server.abort()
            if frames is not None and frames.between:
                self.cut = refusal.cause
                self.done = True
                if not frames.closing:
                    self.wire.write(close_frame(code, refusal.reason.word))
            else:
                self._break_off(refusal.cause)
        self._carrier.advance()

    def finish(self, now: float) -> None:
        """Tell of it, and let go of the upstream."""
        if self.registered:
            self.site.streams.closed(self)
        server, self.server = self.server, None
        self.site.load.in_flight -= 1
        self.over = True
        self.site.finished(
            Finished(
                self.outcome or Refused(GONE, self.at()),
                self.request_id,
                self.wall,
                self._carrier.connection,
                self.status,
                self.received,
                self.sent,
                now - self.began,
                None if server is None else server.name,
                None if server is None else server.duration,
                self.cut,
            )
        )

    # -- ztproxy.exchange.Client

    def send_interim(self, status: int, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Pass an interim response on; HTTP/1.0 knows none (RFC 9110 §15.2)."""
        if not (self.done or self.status) and self.version_11:
            self.wire.write(render_head(status, fields, b"", self.site.left_out, bytes))

    def send_head(self, status: int, fields: Sequence[tuple[bytes, bytes]], length: int | None) -> None:
        """Begin the response. One that comes before the request's end is the connection's last."""
        if self.done or self.status:
            return
        if not self.complete or self.site.draining:
            self.persistent = False
        self.write_head(status, self._told(fields), length)

    def send_switch(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Answer 101."""
        if self.done or self.status:
            return
        if isinstance(self.request, Refusal) or self.request.upgrade is None:
            if self.server is not None:
                self.server.abort()
            self.refuse(Refusal(Reason.UPSTREAM_PROTOCOL_ERROR, cause="a switch of protocols that nobody asked for"))
            return
        protocol, outcome = self.request.upgrade, self.outcome
        refusal = self.site.streams.switched(self, outcome, protocol) if isinstance(outcome, Authorized) else None
        if refusal is not None:
            if self.server is not None:
                self.server.abort()
            self.refuse(refusal)
            return
        if protocol == WEBSOCKET:
            self.frames = Frames()
        self.write_switch(protocol, self._told(fields))
        self._carrier.switch(self)

    def send_body(self, data: bytes) -> None:
        """Send content on, within what was announced."""
        if self.done or not data or self.write_content(data):
            return
        if self.server is not None:
            self.server.abort()
        self._break_off("the upstream sent more than it announced")

    def send_octets(self, data: bytes) -> None:
        """Octets of the protocol switched to."""
        if self.done:
            return
        self.sent += len(data)
        self.wire.write(data)
        if self.frames is not None:
            self.frames.pass_on(data)
            if self._leaving is not None and self.frames.between:
                self.end(self._leaving, CloseCode.GOING_AWAY)

    def send_end(self) -> None:
        """The response is complete."""
        if self.done:
            return
        if self.write_end():
            self.done = True
            self._carrier.advance()
        else:
            self._break_off("the upstream sent less than it announced")

    def refuse(self, refusal: Refusal) -> None:
        """The upstream has no response."""
        if self.done or self.status:
            return
        self.answer_refusal(refusal)
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

    def _await(self, outcome: Decided | asyncio.Task[Decided] | eager.Continued[Decided]) -> None:
        """Act on a decision, now or when it comes."""
        if isinstance(outcome, (asyncio.Task, eager.Continued)):
            self.task = outcome
            outcome.add_done_callback(self._decided)
        else:
            self._act(outcome)

    def _told(self, fields: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
        """A response's fields, and what the client is told beside."""
        outcome = self.outcome
        if isinstance(outcome, Authorized) and outcome.response_fields:
            return (*fields, *outcome.response_fields)
        return fields

    def _decided(self, _task: object) -> None:
        self._carrier.advance()

    def _act(self, outcome: Decided) -> None:
        if isinstance(outcome, WithContent):
            return self._collect(outcome)
        self.outcome = outcome
        if isinstance(outcome, Authorized):
            carrier = self._carrier
            if self.length != 0 and self.site.bodies is not None:
                self.maximum = self.site.bodies.get(outcome.route, inf)
                if self._is_too_much:
                    return self.answer_refusal(TOO_MUCH)
            self._ask_to_continue()
            self.server = server = self.site.forward(outcome, self)
            if carrier.stalled:
                server.pause()
        elif isinstance(outcome, Refused):
            self.answer_refusal(outcome.refusal)
        else:
            self.answer(outcome.answer, close=False)
        return None

    @property
    def _is_too_much(self) -> bool:
        return (self.received if self.length is None else self.length) > self.maximum

    def _ask_to_continue(self) -> None:
        if self.expects and not self.received and not self.complete:
            self.wire.write(CONTINUE)

    def _collect(self, wanted: WithContent) -> None:
        """Take the content here; the answer is made out of it."""
        self.maximum = float(wanted.maximum)
        if self._is_too_much:
            self.outcome = Refused(TOO_MUCH, wanted.at)
            return self.answer_refusal(TOO_MUCH)
        self._ask_to_continue()
        self.server = Collecting(partial(self._collected, wanted))
        return None

    def _collected(self, wanted: WithContent, content: bytes) -> None:
        """All of it has come: it is answered like any request, by what the pipeline made to do so."""
        self.server = None
        self._await(eager.run(_answered(wanted, content)))

    async def _charged(self, refusal: Refusal, charge: Charge) -> Decided:
        """What cannot be read costs its sender as much as what can."""
        carrier = self._carrier
        stand_in = unread(Moment(self.request_id, self.wall, self.began), carrier.connection)
        return Refused(await charge(stand_in) or refusal, None)

    def _break_off(self, cause: str) -> None:
        """The client must see that the response is incomplete: framing tells, or else a reset."""
        self.cut = cause
        self.persistent = self.discarding = False
        self.done = True
        if self.switched or not self.framed:
            self.wire.abort()
        self._carrier.advance()


async def _answered(wanted: WithContent, content: bytes) -> Decided:
    """What the content came to."""
    made, at = await wanted.answer(content), wanted.at
    if isinstance(made, Refusal):
        return Refused(made, at)
    return Answered(made, at if isinstance(at, Arrived) else at.arrived)
