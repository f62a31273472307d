"""What a request costs ztproxy itself, without a kernel: the real stages, TLS included, over transports of memory.

32 connections, each with its token, ask once a turn of the event loop, as under load; the processor time of reading,
deciding, forwarding and answering is counted, and the least of many rounds is given: what else runs on the machine
then hardly shows. Compare two versions with it; what the kernel adds, `make bench` shows.
"""

import argparse
import asyncio
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import handshakes
import peers
import run
from memory import CONNECTIONS, Client, Memory

from ztproxy.config.loading import load
from ztproxy.edge.tls import TlsWire
from ztproxy.serve import Server, new_event_loop
from ztproxy.upstream.connection import Connection

PATIENCE = 4000  # half milliseconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", default="ztproxy", choices=("ztproxy", "ztproxy-forward"))
    parser.add_argument("--unique", action="store_true", help="another path with each request")
    parser.add_argument("--browser", action="store_true", help="ten more fields, as browsers send")
    parser.add_argument("--handshakes", action="store_true", help="a connection's cost instead of a request's")
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
        connection.idle_since = server.parts.upstreams._deadlines.now()  # noqa: SLF001 - likewise
        pool._idle.append(connection)  # noqa: SLF001 - likewise
        made.append((transport, connection))
    return made


async def _measure(here: peers.Site, arguments: argparse.Namespace) -> list[float]:
    server = await _server(here, f"{arguments.row}.yaml")
    loop = asyncio.get_running_loop()
    listener = server.listeners[0]
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


async def _handshakes(here: peers.Site, rounds: int) -> None:
    server = await _server(here, "ztproxy.yaml")
    for what, seconds in handshakes.measured(here, server.listeners[0], rounds).items():
        print(f"{seconds * 1e6:8.1f} µs  {what}")
    await server.close()


def main() -> int:
    """Measure and print."""
    arguments = _arguments()
    os.environ.setdefault("OPENSSL_CONF", str(peers.CONFIGS / "openssl.cnf"))
    with run.site("tree") as (here, _), asyncio.Runner(loop_factory=new_event_loop) as runner:
        if arguments.handshakes:
            runner.run(_handshakes(here, arguments.rounds))
            return 0
        rounds = runner.run(_measure(here, arguments))
    rounds.sort()
    least, median = rounds[0] * 1e6, rounds[len(rounds) // 2] * 1e6
    print(f"{arguments.row}: {least:.1f} µs a request at the least, {median:.1f} in the median")
    return 0


if __name__ == "__main__":
    sys.exit(main())
