"""A request on a connection, and how the proxy answers it by itself: refused, redirected, on a reserved path."""

import msgspec

from ztproxy.edge.parsed import FieldSection
from ztproxy.edge.refusals import render
from ztproxy.edge.response import Response
from ztproxy.edge.site import Site
from ztproxy.edge.wire import Wire
from ztproxy.model import Admitted, Answer, Arrived, Authorized, Outcome, Refusal, Refused

DRAINED = 65_536
"""Octets of a refused body that are read and thrown away so that the connection lives on."""


class Answering(Response):
    """The request's side of an exchange. The class holds the defaults."""

    length: int | None = 0
    """Octets of the request's content; None when chunked."""
    expects = False
    """The client waits for 100 Continue."""
    complete = False
    """The request is complete."""
    received = 0
    """Octets of content received."""
    waiting = 0
    """Octets of content not yet handed on."""
    done = False
    """The response is complete, or will never be."""
    discarding = False
    """The request was answered early; the rest of its body is read and thrown away."""
    outcome: Outcome | None = None

    def __init__(self, wire: Wire, site: Site, request_id: str, request: Arrived | Refusal) -> None:
        super().__init__(wire, site, request_id)
        self._pieces: list[bytes] = []
        self.request = request
        """What was asked; a `Refusal` when it could not be read."""

    def follow(self, section: FieldSection, *, is_head: bool, version_11: bool) -> None:
        """What the head says of framing and of the connection."""
        self.length = section.content_length
        if is_head:
            self.is_head = True
        if not version_11:
            self.version_11 = False
        if section.expects:
            self.expects = True
        if section.close or section.upgrade is not None:
            self.persistent = False

    def take(self, data: bytes) -> None:
        """Content of the request."""
        self.received += len(data)
        if not self.done:
            self.waiting += len(data)
            self._pieces.append(data)

    def answer_refusal(self, refusal: Refusal) -> None:
        """Refuse, in the form that the client prefers."""
        outcome = self.outcome
        if isinstance(outcome, Authorized):
            come = Admitted(outcome.arrived, outcome.route, outcome.certificate, outcome.token, outcome.limit)
            told = msgspec.structs.replace(refusal, decision=outcome.decision, limit=outcome.limit)
            self.outcome = Refused(told, come)
        elif not isinstance(outcome, Refused):
            self.outcome = Refused(refusal, self.at())
        fields = () if isinstance(self.request, Refusal) else self.request.fields
        accept = [value for name, value in fields if name == b"accept"]
        at = self.outcome.at if isinstance(self.outcome, Refused) else None
        answer = render(refusal, self.request_id, accept, show_reasons=self.site.show_reasons, at=at)
        self.answer(answer, close=refusal.close)

    def answer(self, answer: Answer, *, close: bool) -> None:
        """Answer at once. What is left of a small body is read and dropped, else the connection ends."""
        if not self.complete:
            self.discarding = not self.expects and self.length is not None and self.length <= DRAINED
        if close or self.site.draining or not (self.complete or self.discarding):
            self.persistent = self.discarding = False
        self.write_head(answer.status, answer.fields, len(answer.body))
        if answer.body:
            self.write_content(answer.body)
        self.done = True
        self.drop()

    def drop(self) -> None:
        """Throw away the content that waits."""
        self._pieces.clear()
        self.waiting = 0

    def at(self) -> Arrived | None:
        """How far the request came, where no stage says more."""
        return None if isinstance(self.request, Refusal) else self.request
