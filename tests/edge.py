"""A connection of the edge without sockets: octets in, octets out."""

from tests.fakes import PEER, FakeClock, FakeWire, RecordingForward, RecordingPipeline, Told
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.http1 import Http1
from ztproxy.edge.reading import Reading
from ztproxy.edge.site import Site
from ztproxy.model import Connection


class Edge:
    """One connection, what it was told to do and what it did. Needs a running loop."""

    def __init__(
        self,
        pipeline: RecordingPipeline | None = None,
        forward: RecordingForward | None = None,
        connection: Connection = PEER,
        cleaning: Cleaning | None = None,
        trusted_proxies=(),
        **site,
    ) -> None:
        self.pipeline = pipeline or RecordingPipeline()
        self.forward = forward or RecordingForward()
        self.told = Told()
        self.clock = FakeClock()
        self.wall = FakeClock(1_700_000_000.0)
        self.site = Site(
            pipeline=self.pipeline,
            forward=self.forward,
            finished=self.told,
            reading=Reading.of(cleaning or Cleaning.of(), tuple(trusted_proxies)),
            wall=self.wall,
            monotonic=self.clock,
            **site,
        )
        self.connection = connection
        self.connect()

    def connect(self) -> None:
        """Another connection of the same site."""
        self.wire = FakeWire()
        self.http = Http1(self.site)
        self.http.connected(self.wire, self.connection)

    def send(self, data: bytes) -> bytes:
        """What comes back at once."""
        self.http.received(data)
        return self.wire.taken()

    def at(self, later: float) -> None:
        """So many seconds later, the timer fires."""
        self.clock.now += later
        self.http._deadline.fired()

    @property
    def arrived(self):
        return self.pipeline.arrived


def get(target: bytes = b"/", *lines: bytes, host: bytes = b"a.example", method: bytes = b"GET") -> bytes:
    """A request as a well-behaved client writes it, with these field lines added."""
    return b"\r\n".join((method + b" " + target + b" HTTP/1.1", b"Host: " + host, *lines, b"", b""))
