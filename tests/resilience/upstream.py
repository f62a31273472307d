"""A server that answers each request with what names it, until it is told to misbehave."""

import asyncio
import zlib
from typing import Self

MODES = ("hangs", "resets", "garbage", "half", "twice", "closes-idle", "other-length")
"""What it can do instead of answering, on all its connections, from the next request on:

hangs: says nothing. resets: aborts the connection. garbage: octets that are no HTTP. half: closes within the content.
twice: answers, and then again with another content that nobody asked for. closes-idle: answers soundly, then closes.
other-length: two lengths that contradict each other.
"""


def content(path: str) -> bytes:
    """What a request is answered with; between one line and some twenty kilobytes, and no two alike."""
    line = f"{path}\n".encode()
    return line * (1 + zlib.crc32(line) % 700)


def _sound(path: str) -> bytes:
    body = content(path)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Upstream:
    """Answers on a port of its own. `mode` is "answers" or one of `MODES`."""

    def __init__(self) -> None:
        self.mode = "answers"
        self.port = 0
        self.asked = 0
        self._connections: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; on the same port as before if it did."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """End at once, as a process that is killed: connections are reset, and new ones refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self._connections):
            transport.abort()


class _Connection(asyncio.Protocol):
    """Requests without content, one after the other."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._upstream._connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._upstream.asked += 1
            self._answer(head.split(b" ", 2)[1].decode())

    def _answer(self, path: str) -> None:
        body, sound = content(path), _sound(path)
        write = self._transport.write
        match self._upstream.mode:
            case "answers":
                write(sound)
            case "hangs":
                pass
            case "resets":
                self._transport.abort()
            case "garbage":
                write(b"\x16\x03\x01\x00\x02\x02\x28" * 9)
            case "half":
                write(sound[: -len(body) // 2 or None])
                self._transport.close()
            case "twice":
                write(sound + _sound("/nobody/asked"))
            case "closes-idle":
                write(sound)
                self._transport.close()
            case "other-length":
                write(sound.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n", 1))
