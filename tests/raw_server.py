"""An upstream that says exactly what a test tells it to, over real sockets, and records what it is sent."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

from tests.pki import Leaf
from ztproxy.config.routes import Route
from ztproxy.config.settings import Settings
from ztproxy.model import Arrived, Authorized, Certificate, Connection, Decision, Fields, Refusal, Sans, Token
from ztproxy.spiffe.workload import Workload
from ztproxy.upstream import Upstreams

Script = Callable[["Peer"], Awaitable[None]]
WAIT = 5.0


class Peer:
    """One connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: "RawServer") -> None:
        self.reader = reader
        self.writer = writer
        self.server = server
        self.closed = asyncio.Event()

    async def head(self) -> bytes:
        """The next request's head."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.server.heads.append(head)
        return head

    async def body(self, octets: int) -> bytes:
        return await self.reader.readexactly(octets)

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def until_closed(self) -> bytes:
        """What still came until the proxy closed."""
        try:
            return await self.reader.read(-1)
        except ConnectionError:
            return b""

    def reset(self) -> None:
        self.writer.transport.abort()


class RawServer:
    """Runs a script for each connection; scripts that end close it."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.heads: list[bytes] = []
        self.peers: list[Peer] = []
        self.errors: list[BaseException] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @classmethod
    async def start(cls, *scripts: Script, context: ssl.SSLContext | None = None, **options: Any) -> Self:
        """The last script serves all further connections."""
        server = cls(*scripts)
        server._listener = await asyncio.start_server(server._serve, "127.0.0.1", 0, ssl=context, **options)
        server.port = server._listener.sockets[0].getsockname()[1]
        return server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.tasks.add(task)
        peer = Peer(reader, writer, self)
        script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
        self.peers.append(peer)
        try:
            await script(peer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as gone:
            self.errors.append(gone)
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()
            peer.closed.set()
            self.tasks.discard(task)

    async def stop(self) -> None:
        self._listener.close()
        for task in tuple(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(tuple(self.tasks), timeout=WAIT)
        await self._listener.wait_closed()


def always(*pieces: bytes) -> Script:
    """Answers every request (without content) with the same octets."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await peer.say(*pieces)

    return script


def once(*pieces: bytes) -> Script:
    """Answers one request, then closes."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(*pieces)

    return script


def and_wait(*pieces: bytes) -> Script:
    """Answers one request, then waits for the proxy to close."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(*pieces)
        await peer.until_closed()

    return script


class RecordingClient:
    """The edge's side of an exchange: records what is handed over, and holds the order of calls."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.interims: list[tuple[int, list[tuple[bytes, bytes]]]] = []
        self.fields: list[tuple[bytes, bytes]] = []
        self.length: int | None = None
        self.content = b""
        self.switched = False
        self.ended = False
        self.refusal: Refusal | None = None
        self.aborted: str | None = None
        self.paused = False
        self.pauses = 0
        self.calls: list[str] = []
        self._done = asyncio.Event()
        self._changed = asyncio.Event()

    def send_interim(self, status: int, fields: Sequence[tuple[bytes, bytes]]) -> None:
        assert self.status is None
        self.interims.append((status, list(fields)))
        self._note("send_interim")

    def send_head(self, status: int, fields: Sequence[tuple[bytes, bytes]], length: int | None) -> None:
        assert self.status is None
        self.status, self.fields, self.length = status, list(fields), length
        self._note("send_head")

    def send_switch(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        assert self.status is None
        self.status, self.fields, self.switched = 101, list(fields), True
        self._note("send_switch")

    def send_body(self, data: bytes) -> None:
        assert self.status is not None
        assert data
        self.content += data
        self._note("send_body")

    def send_octets(self, data: bytes) -> None:
        assert self.switched
        assert data
        self.content += data
        self._note("send_octets")

    def send_end(self) -> None:
        assert self.status is not None
        self.ended = True
        self._finish("send_end")

    def refuse(self, refusal: Refusal) -> None:
        assert self.status is None
        self.refusal = refusal
        self._finish("refuse")

    def abort(self, cause: str) -> None:
        assert self.status is not None
        self.aborted = cause
        self._finish("abort")

    def pause(self) -> None:
        self.paused = True
        self.pauses += 1
        self._note("pause")

    def resume(self) -> None:
        self.paused = False
        self._note("resume")

    def _note(self, call: str) -> None:
        assert not self._done.is_set() or call in ("pause", "resume")
        self.calls.append(call)
        self._changed.set()

    def _finish(self, call: str) -> None:
        self._note(call)
        self._done.set()

    async def done(self) -> Self:
        """Wait for the exchange's end."""
        await asyncio.wait_for(self._done.wait(), WAIT)
        return self

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; looked at whenever something is handed over."""
        async with asyncio.timeout(WAIT):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    def field(self, name: bytes) -> list[bytes]:
        return [value for known, value in self.fields if known == name]


class Scene:
    """Servers and upstreams of one test, closed at its end."""

    def __init__(self) -> None:
        self._servers: list[RawServer] = []
        self._upstreams: list[Upstreams] = []

    async def start(self, *scripts: Script, **options: Any) -> RawServer:
        self._servers.append(await RawServer.start(*scripts, **options))
        return self._servers[-1]

    def build(
        self,
        *servers: str,
        route: dict[str, Any] | None = None,
        workload: Workload | None = None,
        **upstream: Any,
    ) -> Upstreams:
        self._upstreams.append(Upstreams.build(settings(*servers, route=route, **upstream), workload=workload))
        self._upstreams[-1].start()
        return self._upstreams[-1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for upstreams in self._upstreams:
            await upstreams.close()
        for server in self._servers:
            await server.stop()


def settings(*servers: str, route: dict[str, Any] | None = None, **upstream: Any) -> Settings:
    """One route `app` to these servers; nothing else of the configuration matters here."""
    plain = {"name": "app", "hosts": ["*"], "require": [], "upstream": {"servers": list(servers), **upstream}}
    plain |= route or {}
    if plain.get("redirect"):
        del plain["upstream"]
    return Settings.model_construct(routes=(Route.model_validate(plain),), assertion=None)


async def exchange(upstreams: Upstreams, body: bytes | None = None, **changes: Any) -> RecordingClient:
    """A whole exchange, from the edge's side."""
    client = RecordingClient()
    server = upstreams.forward(authorized(**changes), client)
    if body:
        server.send_body(body)
    server.send_end()
    return await client.done()


CONNECTION = Connection("127.0.0.1:8443", "https", "192.0.2.7", 50000, 8443)


def arrived(**changes: Any) -> Arrived:
    """A plain GET, with what a test changes of it."""
    values: dict[str, Any] = {
        "request_id": "req-1",
        "wall": 1_700_000_000.0,
        "monotonic": 1.0,
        "connection": CONNECTION,
        "source": "192.0.2.7",
        "method": "GET",
        "scheme": "https",
        "host": "app.test",
        "port": 443,
        "authority": b"app.test",
        "path": "/x",
        "segments": ("x",),
        "query": "",
        "has_query": False,
        "fields": (),
        "unverified_authorization": (),
        "content_length": 0,
    }
    return Arrived(**(values | changes))


def authorized(
    *,
    certificate: Certificate | None = None,
    token: Token | None = None,
    headers: Fields = (),
    route: str = "app",
    credentials: bytes = b"",
    **changes: Any,
) -> Authorized:
    """A request as the policy let it through; made here because no policy takes part."""
    return Authorized(
        arrived=arrived(**changes),
        route=route,
        certificate=certificate,
        token=token,
        limit=None,
        decision=Decision(allow=True, headers=headers),
        credentials=credentials,
    )


def certificate(leaf: Leaf, **changes: Any) -> Certificate:
    """A verified client certificate."""
    values: dict[str, Any] = {
        "der": leaf.der,
        "subject": leaf.certificate.subject.rfc4514_string(),
        "common_name": None,
        "sans": Sans(),
        "spiffe_id": None,
        "issuer": leaf.certificate.issuer.rfc4514_string(),
        "serial": f"{leaf.certificate.serial_number:x}",
        "fingerprint": leaf.fingerprint,
        "not_before": leaf.certificate.not_valid_before_utc.timestamp(),
        "not_after": leaf.certificate.not_valid_after_utc.timestamp(),
        "version": 3,
        "is_authority": False,
        "extended_key_usage": None,
        "chain": (leaf.der,),
    }
    return Certificate(**(values | changes))


def token(subject: str = "alice", issuer: str = "https://idp.test", **changes: Any) -> Token:
    values: dict[str, Any] = {
        "digest": f"{issuer} {subject}".encode(),
        "issuer": issuer,
        "subject": subject,
        "audience": ("ztproxy",),
        "claims": {},
        "kind": "bearer",
        "bound_to": None,
        "issued_at": None,
        "expires_at": 1_700_003_600.0,
        "key_id": None,
    }
    return Token(**(values | changes))
