"""OPA servers for tests: a real one, and sockets that only pretend to be one."""

import asyncio
import os
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

BUILD = "tests/functional/opa/build.sh"
BINARY = Path(__file__).parent / "functional" / "opa" / "bin" / "opa"

Answer = Callable[[bytes], Awaitable[bytes | None]]


def http(body: bytes, status: str = "200 OK", fields: bytes = b"Content-Type: application/json\r\n") -> bytes:
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status.encode(), fields, len(body), body)


class Pretender:
    """Listens on loopback or a Unix socket and answers every request with raw octets; what it was asked is kept.

    Set `answer` to octets, or to a coroutine function from a request's octets to octets; None closes the connection.
    """

    def __init__(self, answer: bytes | Answer = b"") -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0, path: Path | None = None, context: ssl.SSLContext | None = None) -> None:
        if path is not None:
            self._server = await asyncio.start_unix_server(self._serve, path)
            return
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(f[15:]) for f in head.split(b"\r\n") if f.lower().startswith(b"content-length:")), 0)
                request = head + await reader.readexactly(length)
                self.requests.append(request)
                answer = self.answer if isinstance(self.answer, bytes) else await self.answer(request)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


class Server:
    """A real OPA on loopback, with the policies of a directory; `kill` is kill -9."""

    def __init__(self, directory: Path, port: int, *arguments: str) -> None:
        self.port = port
        self._command = [str(BINARY), "run", "--server", f"--addr=127.0.0.1:{port}", "--log-level=error"]
        self._command += ["--disable-telemetry", *arguments, str(directory)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(self._ready):
                if self._process.poll() is not None:
                    raise RuntimeError("OPA ended")
                await asyncio.sleep(0.05)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1):  # noqa: S310 - http on loopback
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def signal(self, number: int) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def need_binary() -> None:
    if not BINARY.exists():
        pytest.skip(f"no OPA server; build it with {BUILD} (needs Go)")
