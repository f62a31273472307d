"""The doubles that tests may use; whatever else they need is real."""

from collections.abc import Callable, Sequence
from typing import Any

from ztproxy.model import Admitted, Arrived, Authorized, Connection, Decision, Finished, Identified, Outcome, Refusal
from ztproxy.store.records import RecordsUnavailableError

PEER = Connection(listener="127.0.0.1:8443", scheme="https", peer="192.0.2.7", peer_port=50000, local_port=8443)


class FakeWire:
    """A `ztproxy.edge.wire.Wire` that keeps what was written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = self.aborted = self.paused = self.eof = False
        self.waiting = 0
        """Octets that the client has not read."""

    def write(self, data: bytes) -> None:
        if not (self.closed or self.aborted):
            self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def unsent(self) -> int:
        return self.waiting

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write_eof(self) -> None:
        self.eof = True

    def taken(self) -> bytes:
        """What was written since the last call."""
        written, self.written = bytes(self.written), bytearray()
        return written


class RecordingPipeline:
    """A pipeline that keeps what arrives and allows it all, or gives the outcome that `decide` makes."""

    def __init__(self, decide: Callable[[Arrived], Any] | None = None) -> None:
        self.arrived: list[Arrived] = []
        self._decide = decide

    async def __call__(self, arrived: Arrived) -> Outcome:
        self.arrived.append(arrived)
        if self._decide is None:
            return allow(arrived)
        outcome = self._decide(arrived)
        return await outcome if hasattr(outcome, "__await__") else outcome


def allow(arrived: Arrived) -> Authorized:
    """What a policy that allows everything would make of it."""
    return Authorized(arrived, "route", None, None, None, Decision(allow=True))


class RecordingServer:
    """A `ztproxy.exchange.Server` that keeps what it is given and answers when told, or at the request's end."""

    def __init__(self, authorized: Authorized, client: Any, answer: Callable[["RecordingServer"], None] | None) -> None:
        self.authorized = authorized
        self.client = client
        self.name = "http://127.0.0.1:9"
        self.duration: float | None = 0.001
        self.body = b""
        self.ended = self.aborted = self.paused = False
        self._answer = answer

    def send_body(self, data: bytes) -> None:
        self.body += data

    def send_end(self) -> None:
        self.ended = True
        if self._answer:
            self._answer(self)

    def abort(self) -> None:
        self.aborted = True

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def respond(self, status: int = 200, fields: Sequence[tuple[bytes, bytes]] = (), body: bytes = b"ok") -> None:
        """A whole response."""
        self.client.send_head(status, fields, len(body))
        if body:
            self.client.send_body(body)
        self.client.send_end()


class RecordingForward:
    """A `ztproxy.exchange.Forward` whose servers are kept; `answer` is called at each request's end."""

    def __init__(self, answer: Callable[[RecordingServer], None] | None = RecordingServer.respond) -> None:
        self.servers: list[RecordingServer] = []
        self._answer = answer

    def __call__(self, authorized: Authorized, client: Any) -> RecordingServer:
        server = RecordingServer(authorized, client, self._answer)
        self.servers.append(server)
        return server

    @property
    def last(self) -> RecordingServer:
        """The newest exchange."""
        return self.servers[-1]


class NoLimits:
    """A `ztproxy.pipeline.Limits` that admits everybody."""

    async def charge_source(self, arrived: Arrived) -> None:
        return None

    async def admit(self, identified: Identified) -> Admitted:
        return Admitted(identified.arrived, identified.route, identified.certificate, identified.token, None)


class AllowingPolicy:
    """A `ztproxy.pipeline.Policy` that allows everything, or refuses with what `decide` makes of what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Admitted] = []
        self.decide: Callable[[Admitted], Refusal | None] = lambda _: None

    async def authorize(self, admitted: Admitted) -> Authorized | Refusal:
        self.asked.append(admitted)
        return self.decide(admitted) or Authorized(
            admitted.arrived, admitted.route, admitted.certificate, admitted.token, None, Decision(allow=True)
        )


class AwayRecords:
    """A `ztproxy.store.records.Records` that does not answer."""

    def __getattr__(self, _: str) -> Callable[..., Any]:
        async def away(*_: object) -> None:
            raise RecordsUnavailableError("away")

        return away


class FakeClock:
    """A clock that moves when told."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Told:
    """Keeps the `Finished` of each request."""

    def __init__(self) -> None:
        self.all: list[Finished] = []

    def __call__(self, finished: Finished) -> None:
        self.all.append(finished)

    @property
    def last(self) -> Finished:
        return self.all[-1]

    @property
    def refusal(self) -> Refusal | None:
        """Why the last request was refused."""
        return getattr(self.last.outcome, "refusal", None)
