"""An upstream that takes nothing but requests in canonical form, and what must have reached it and nothing else.

Its reading is its own and shares no code with the proxy's: one regular expression for a head, one for a chunk.
"""

import asyncio
import re
from typing import Any, NamedTuple, Self

from tests.edge import Edge
from tests.fakes import allow
from tests.raw_server import WAIT, Peer, Scene
from ztproxy.model import Arrived, Authorized

_HEAD = re.compile(
    rb"([A-Z]+) (/[!-~]*) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9!#$%&'*+.^`|~-]+: [\t -~\x80-\xff]*\r\n)+)\r\n"
)
_CHUNK = re.compile(rb"([1-9a-f][0-9a-f]*)\r\n")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
_END = b"0\r\n\r\n"


class Seen(NamedTuple):
    """A request as it stood on the wire."""

    head: bytes
    body: bytes
    size: int
    """Octets on the wire."""
    complete: bool

    @property
    def request_id(self) -> str:
        """Ours."""
        ids = re.findall(rb"(?m)^X-Request-Id: ([0-9a-f]{32})\r$", self.head)
        assert len(ids) == 1, self.head
        return ids[0].decode()


def read(octets: bytes) -> list[Seen]:
    """All requests of a connection, the last perhaps incomplete. Whatever is not canonical is an error."""
    seen = []
    while octets:
        found = _HEAD.match(octets)
        if found is None:
            assert b"\r\n\r\n" not in octets, f"not in canonical form: {octets[:300]!r}"
            assert re.match(rb"[A-Z]+ /", octets), octets[:300]
            return [*seen, Seen(octets, b"", len(octets), complete=False)]
        body, rest, complete = _content(found[3], octets[found.end() :])
        seen.append(Seen(found[0], body, len(octets) - len(rest), complete))
        octets = rest
    return seen


def _content(fields: bytes, rest: bytes) -> tuple[bytes, bytes, bool]:
    lengths = re.findall(rb"(?im)^content-length:(.*)\r$", fields)
    codings = re.findall(rb"(?im)^transfer-encoding:(.*)\r$", fields)
    assert len(lengths) + len(codings) <= 1, fields
    if codings:
        assert codings == [b" chunked"]
        return _chunks(rest)
    length = int(lengths[0]) if lengths else 0
    return rest[:length], rest[length:], len(rest) >= length


def _chunks(rest: bytes) -> tuple[bytes, bytes, bool]:
    body = b""
    while True:
        if rest.startswith(_END):
            return body, rest[len(_END) :], True
        found = _CHUNK.match(rest)
        if found is None:
            assert len(rest) < 20, f"no chunk: {rest[:100]!r}"
            return body, b"", False
        end = found.end() + int(found[1], 16)
        body += rest[found.end() : end]
        if len(rest) < end + 2:
            return body, b"", False
        assert rest[end : end + 2] == b"\r\n"
        rest = rest[end + 2 :]


def written(arrived: Arrived, host: bytes) -> bytes:
    """The one head that an authorised request may have, made from what was authorised."""
    target = arrived.path + (f"?{arrived.query}" if arrived.has_query else "")
    lines = [f"{arrived.method} {target} HTTP/1.1".encode(), b"Host: " + host]
    lines += [name + b": " + value for name, value in arrived.fields]
    lines += [
        b"X-Forwarded-For: " + arrived.source.encode(),
        b"X-Forwarded-Proto: " + arrived.scheme.encode(),
        b"X-Forwarded-Host: " + arrived.authority,
        b"X-Request-Id: " + arrived.request_id.encode(),
    ]
    if arrived.upgrade is not None:
        lines += [b"Connection: Upgrade", b"Upgrade: websocket"]
    elif arrived.content_length is None:
        lines.append(b"Transfer-Encoding: chunked")
    elif arrived.content_length or arrived.method in ("POST", "PUT", "PATCH"):
        lines.append(b"Content-Length: %d" % arrived.content_length)
    return b"\r\n".join([*lines, b"", b""])


class _Record:
    """What one connection brought."""

    def __init__(self) -> None:
        self.complete: list[Seen] = []
        self.rest = b""

    def add(self, data: bytes) -> list[Seen]:
        """The requests that are complete with it."""
        self.rest += data
        complete = []
        for seen in read(self.rest):
            if seen.complete:
                complete.append(seen)
                self.rest = self.rest[seen.size :]
        self.complete += complete
        return complete


class Corpus:
    """Clients that say what a test tells them to, one after the other, to one upstream that writes it all down."""

    def __init__(self) -> None:
        self._scene = Scene()
        self._recorded: list[_Record] = []
        self._authorized: dict[str, Arrived] = {}
        self.answered: set[str] = set()

    async def __aenter__(self) -> Self:
        server = await self._scene.start(self._serve)
        self._host = server.url.removeprefix("http://").encode()
        self._server = server
        self._upstreams = self._scene.build(server.url, route={"name": "route"})
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        await self._upstreams.close()
        async with asyncio.timeout(WAIT):
            for peer in self._server.peers:
                await peer.closed.wait()
        await self._scene.__aexit__()
        if kind is None:
            self._judge()

    async def say(self, octets: bytes, step: int = 1_000_000, **options: Any) -> tuple[bytes, list[Arrived]]:
        """What a client gets that sends these octets, so many at once, and then closes its half; and what passed."""
        return await self.say_pieces([octets[at : at + step] for at in range(0, len(octets), step)], **options)

    async def say_in_two(self, octets: bytes, at: int) -> tuple[bytes, list[Arrived]]:
        """The same, cut in two."""
        return await self.say_pieces([octets[:at], octets[at:]])

    async def say_pieces(self, pieces: list[bytes], **options: Any) -> tuple[bytes, list[Arrived]]:
        """The same, in these pieces."""
        edge = Edge(**options)
        edge.site.forward = self._upstreams.forward
        edge.pipeline._decide = self._allow
        answer = bytearray()
        for piece in pieces:
            answer += edge.send(piece)
        edge.http.ended()
        async with asyncio.timeout(WAIT):
            while not (edge.wire.closed or edge.wire.aborted):
                await asyncio.sleep(0)
        edge.http.lost()
        for told in edge.told.all:
            if isinstance(told.outcome, Authorized) and told.status == 200:
                self.answered.add(told.request_id)
        return bytes(answer + edge.wire.taken()), edge.arrived

    def _allow(self, arrived: Arrived) -> Authorized:
        self._authorized[arrived.request_id] = arrived
        return allow(arrived)

    async def _serve(self, peer: Peer) -> None:
        record = _Record()
        self._recorded.append(record)
        while data := await peer.reader.read(65_536):
            for seen in record.add(data):
                await peer.say(ANSWER if seen.head.startswith(b"HEAD ") else ANSWER + b"ok")

    def _judge(self) -> None:
        """What the upstream saw is what was authorised, once each and to the octet; nothing else reached it."""
        complete: list[str] = []
        for record in self._recorded:
            for seen in (*record.complete, *read(record.rest)):
                if not seen.complete and not seen.head.endswith(b"\r\n\r\n"):
                    continue
                arrived = self._authorized[seen.request_id]
                assert seen.head == written(arrived, self._host)
                if seen.complete:
                    complete.append(seen.request_id)
        assert len(complete) == len(set(complete))
        assert set(complete) >= self.answered
