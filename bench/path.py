"""What a request costs ztproxy itself, without a kernel: the real stages, TLS included, over transports of memory.

32 connections, each with its token, ask once a turn of the event loop, as under load; the processor time of reading,
deciding, forwarding and answering is counted, and the least of many rounds is given: what else runs on the machine
then hardly shows. Compare two versions with it; what the kernel adds, `make bench` shows.
"""

import argparse
import asyncio
import os
import pathlib
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import credentials
import peers
import run

from ztproxy.config.loading import load
from ztproxy.edge.tls import TlsWire
from ztproxy.serve import Server, new_event_loop
from ztproxy.upstream.connection import Connection

CONNECTIONS = 32
PATIENCE = 4000  # half milliseconds
BROWSER = (
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.9\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\nCache-Control: no-cache\r\nPragma: no-cache\r\nSec-Fetch-Dest: document\r\n"
    b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nUpgrade-Insecure-Requests: 1\r\n"
)


class Memory(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self._port = port

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def writelines(self, pieces: Any) -> None:
        self.written.append(b"".join(pieces))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", self._port), "sockname": ("127.0.0.1", 8443)}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def take(self) -> bytes:
        """Everything written since."""
        data = b"".join(self.written)
        self.written.clear()
        return data


class Client:
    """A client over mTLS that shares our memory."""

    def __init__(self, here: peers.Site, protocol: asyncio.Protocol, number: int, token: str) -> None:
        self.protocol = protocol
        self.transport = Memory(20_000 + number)
        context = ssl.create_default_context(cafile=str(here.run / "server.pem"))
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(here.run / "client.pem", here.run / "client.key")
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=credentials.NAME)
        self._fields = f"Host: {credentials.NAME}\r\nAuthorization: Bearer {token}\r\n".encode()
        self._number = number

    def connect(self) -> None:
        """Shake hands."""
        self.protocol.connection_made(self.transport)
        while True:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            if data := self._out.read():
                self.protocol.data_received(data)
            if data := self.transport.take():
                self._in.write(data)
            if done:
                return

    def ask(self, turn: int, *, unique: bool, browser: bool) -> bytes:
        """A request, encrypted."""
        path = f"/api/items/{turn * CONNECTIONS + self._number if unique else 1}"
        self._tls.write(f"GET {path} HTTP/1.1\r\n".encode() + self._fields + (BROWSER if browser else b"") + b"\r\n")
        return self._out.read()

    def answer(self) -> bytes:
        """What was answered, decrypted."""
        self._in.write(self.transport.take())
        pieces = []
        try:
            while piece := self._tls.read(65536):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        return b"".join(pieces)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", default="ztproxy", choices=("ztproxy", "ztproxy-forward"))
    parser.add_argument("--unique", action="store_true", help="another path with each request")
    parser.add_argument("--browser", action="store_true", help="ten more fields, as browsers send")
    parser.add_argument("--rounds", type=int, default=400)
    return parser.parse_args()


async def _server(here: peers.Site, template: str) -> Any:
    path = pathlib.Path(here.written(template, "path.yaml", port=0, engine="embedded", opa=1, storage="memory://"))
    return await Server.start(load(path))


def _upstream(server: Any, number: int) -> list[tuple[Memory, Any]]:
    """Idle connections to a server that answers from memory."""
    pool = server.parts.upstreams._pools[0]  # noqa: SLF001 - it has no door for this
    made = []
    for one in range(number):
        transport, connection = Memory(30_000 + one), Connection(pool, 3600.0)
        connection.connection_made(transport)
        connection.reused = True
        connection.idle_since = server.parts.upstreams._deadlines._loop.time()  # noqa: SLF001 - likewise
        pool._idle.append(connection)  # noqa: SLF001 - likewise
        made.append((transport, connection))
    return made


async def _measure(here: peers.Site, arguments: argparse.Namespace) -> list[float]:
    server = await _server(here, f"{arguments.row}.yaml")
    loop = asyncio.get_running_loop()
    listener = server._listeners[0][0]  # noqa: SLF001 - likewise
    tokens = (here.run / "tokens").read_text().split()
    clients = [Client(here, TlsWire(loop, listener), n, tokens[n]) for n in range(CONNECTIONS)]
    for client in clients:
        client.connect()
    servers = _upstream(server, CONNECTIONS)
    body = b"x" * peers.BODY
    response = (
        b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 26 Nov 2026 11:00:00 GMT\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n%b" % (len(body), body)
    )
    clock: Callable[[], float] = time.process_time
    rounds = []
    for turn in range(arguments.rounds):
        asked = [client.ask(turn, unique=arguments.unique, browser=arguments.browser) for client in clients]
        began = clock()
        for client, data in zip(clients, asked, strict=True):
            client.protocol.data_received(data)
        await asyncio.sleep(0)
        spent = clock() - began
        for _ in range(PATIENCE):
            if all(transport.written for transport, _ in servers):
                break
            began = clock()
            await asyncio.sleep(0.0005)
            spent += clock() - began
        for transport, _ in servers:
            if not transport.take().endswith(b"\r\n\r\n"):
                raise SystemExit("a request did not arrive whole")
        began = clock()
        for _, connection in servers:
            connection.data_received(response)
        await asyncio.sleep(0)
        rounds.append((spent + clock() - began) / CONNECTIONS)
        for client in clients:
            if body not in client.answer():
                raise SystemExit("a request was not answered with what the upstream sent")
    await server.close()
    return rounds


def main() -> int:
    """Measure and print."""
    arguments = _arguments()
    os.environ.setdefault("OPENSSL_CONF", str(peers.CONFIGS / "openssl.cnf"))
    with run.site("tree") as (here, _), asyncio.Runner(loop_factory=new_event_loop) as runner:
        rounds = runner.run(_measure(here, arguments))
    rounds.sort()
    least, median = rounds[0] * 1e6, rounds[len(rounds) // 2] * 1e6
    print(f"{arguments.row}: {least:.1f} µs a request at the least, {median:.1f} in the median")
    return 0


if __name__ == "__main__":
    sys.exit(main())
