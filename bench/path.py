"""What a request costs ztproxy itself, without a kernel: the real stages, TLS included, over transports of memory.

32 connections, each with its token, ask once a turn of the event loop, as under load; the processor time of reading,
deciding, forwarding and answering is counted, and the least of many rounds is given: what else runs on the machine
then hardly shows. Compare two versions with it; what the kernel adds, `make bench` shows.
"""

import argparse
import asyncio
import gc
import os
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import credentials
import handshakes
import logins
import parts
import peers
import run
import steps
from memory import CONNECTIONS, Client, Memory, Prover

from ztproxy.config.loading import load
from ztproxy.edge import tls
from ztproxy.edge.listener import bind_socket
from ztproxy.generation import Generation
from ztproxy.observe import Metrics
from ztproxy.serve import Server, new_event_loop
from ztproxy.upstream.connection import Connection

PATIENCE = 4000  # half milliseconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", default="ztproxy", choices=("ztproxy", "ztproxy-forward"))
    parser.add_argument("--unique", action="store_true", help="another path with each request")
    parser.add_argument("--browser", action="store_true", help="ten more fields, as browsers send")
    parser.add_argument("--proofs", action="store_true", help="each request proves its token's key (DPoP)")
    parser.add_argument("--sessions", action="store_true", help="browsers' sessions in place of tokens")
    parser.add_argument("--steps", action="store_true", help="what each step of a request takes, in its place")
    parser.add_argument("--handshakes", action="store_true", help="a connection's cost instead of a request's")
    parser.add_argument("--rounds", type=int, default=400)
    return parser.parse_args()


async def _server(here: peers.Site, template: str) -> Server:
    """A server as a worker runs it, with metrics."""
    login = f"login: [{{issuer: '{here.issuer}', client_id: {logins.CLIENT}, client_authentication: none}}]"
    values = {"port": 0, "engine": "embedded", "opa": 1, "storage": "memory://", "more": f"dpop: {{}}\n{login}"}
    values["route"] = f"    login: {here.issuer}"
    path = pathlib.Path(here.written(template, "path.yaml", **values))
    settings, server = load(path), Server()
    generation = await Generation.prepare(settings, streams=server.streams, metrics=Metrics())
    await server.commit(generation, {str(one.address): bind_socket(one.address) for one in settings.listeners})
    gc.collect()
    gc.freeze()
    return server


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


async def _shown(here: peers.Site, server: Server, arguments: argparse.Namespace) -> tuple[list[str], Prover | None]:
    """What each connection shows of who asks, as a field; and what makes the proofs beside it, where there are any."""
    tokens = (here.run / ("bound-tokens" if arguments.proofs else "tokens")).read_text().split()
    if arguments.proofs:
        await asyncio.sleep(1.1)  # a proof from before the store of used ones began, to the second, counts for nothing
        return [f"Authorization: DPoP {one}" for one in tokens], Prover(here)
    if arguments.sessions:
        sessions = server.parts.identity.sessions
        cookies = [await logins.cookie(sessions, logins.login(one, credentials.NAME)) for one in tokens]
        return [f"Cookie: {one}" for one in cookies], None
    return [f"Authorization: Bearer {one}" for one in tokens], None


async def _measure(
    here: peers.Site, arguments: argparse.Namespace, turned: Callable[[], None] = lambda: None
) -> list[float]:
    """Seconds that a request takes, of each round; `turned` is called after each."""
    server = await _server(here, f"{arguments.row}.yaml")
    loop = asyncio.get_running_loop()
    listener = server.listeners[0]
    shown, prover = await _shown(here, server, arguments)
    clients = [Client(here, tls.TlsWire(loop, listener), n, shown[n], prover) for n in range(CONNECTIONS)]
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
        turned()
    await server.close()
    return rounds


async def _handshakes(here: peers.Site, rounds: int) -> None:
    server = await _server(here, "ztproxy.yaml")
    whole = handshakes.whole(here, server.listeners[0], rounds)
    print("\n".join(parts.lines(handshakes.by_parts(here, server.listeners[0], rounds), whole)))
    await server.close()


async def _steps(here: peers.Site, arguments: argparse.Namespace) -> None:
    """The whole without a clock inside, and the steps with one."""
    whole = parts.quartile(await _measure(here, arguments)) * 1e6
    spent: list[Mapping[str, int]] = []
    with parts.timed(steps.STEPS) as clock:
        await _measure(here, arguments, lambda: spent.append(clock.read()))
    spent_by = parts.quartiles(spent[len(spent) // 4 :], CONNECTIONS)
    print("\n".join(parts.lines({name: time for name, time in spent_by.items() if time}, whole)))


async def _request(here: peers.Site, arguments: argparse.Namespace) -> None:
    rounds = sorted(await _measure(here, arguments))
    least, median = rounds[0] * 1e6, rounds[len(rounds) // 2] * 1e6
    print(f"{arguments.row}: {least:.1f} µs a request at the least, {median:.1f} in the median")


def main() -> int:
    """Measure and print."""
    arguments = _arguments()
    if (arguments.steps or arguments.handshakes) and not str(tls.__file__).endswith(".py"):
        raise SystemExit("compiled functions cannot be timed from outside: run it in a tree of sources")
    os.environ.setdefault("OPENSSL_CONF", str(peers.CONFIGS / "openssl.cnf"))
    with run.site("tree") as (here, _), asyncio.Runner(loop_factory=new_event_loop) as runner:
        if arguments.handshakes:
            runner.run(_handshakes(here, arguments.rounds))
        elif arguments.steps:
            runner.run(_steps(here, arguments))
        else:
            runner.run(_request(here, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
