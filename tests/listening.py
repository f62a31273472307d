"""A real listener with an application that records what it is told, and clients that talk to it over real TLS."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

from tests import pki
from ztproxy import model
from ztproxy.config import settings
from ztproxy.edge import contexts
from ztproxy.edge.listener import Listener, bind_socket
from ztproxy.edge.wire import Wire

PATIENCE = 10.0
"""Seconds until a test that waits for an event has failed."""


class Recorder:
    """An application that keeps what it was told and, unless told otherwise, echoes and closes when the client ends."""

    wire: Wire
    connection: model.Connection

    def __init__(self, *, echo: bool = True, close_on_end: bool = True) -> None:
        self.echo = echo
        self.close_on_end = close_on_end
        self.data = bytearray()
        self.pieces: list[bytes] = []
        self.events: list[str] = []
        self.on_received: Callable[[bytes], None] | None = None

    def connected(self, wire: Wire, connection: model.Connection) -> None:
        self.wire, self.connection = wire, connection
        self.events.append("connected")

    def received(self, data: bytes) -> None:
        self.data += data
        self.pieces.append(data)
        if self.on_received is not None:
            self.on_received(data)
        elif self.echo:
            self.wire.write(data)

    def ended(self) -> None:
        self.events.append("ended")
        if self.close_on_end:
            self.wire.close()

    def lost(self) -> None:
        self.events.append("lost")

    def pause_writing(self) -> None:
        self.events.append("pause_writing")

    def resume_writing(self) -> None:
        self.events.append("resume_writing")


class Service:
    """A listener under test and what it reported."""

    def __init__(self) -> None:
        self.applications: list[Recorder] = []
        self.failures: list[model.HandshakeFailed] = []
        self.make: Callable[[], Recorder] = Recorder
        self.listener: Listener

    @property
    def port(self) -> int:
        return self.listener.port

    def application(self) -> Recorder:
        self.applications.append(self.make())
        return self.applications[-1]


async def until(happened: Callable[[], Any]) -> None:
    """Let the loop turn until it has happened."""
    async with asyncio.timeout(PATIENCE):
        while not happened():
            await asyncio.sleep(0.001)


def described(chain: tuple[bytes, ...]) -> Any:
    """Stands for identity's reading of a chain: keeps it as it came."""
    return chain


def listener_settings(folder: Path, authority: pki.Authority, *servers: pki.Leaf, **options: Any) -> settings.Listener:
    """An https listener on loopback that shows `servers`, by default one for localhost."""
    pairs = []
    for number, leaf in enumerate(servers or (authority.server(),)):
        certificate, key = leaf.write(folder, f"server-{number}")
        pairs.append({"certificate": certificate, "key": key})
    return settings.Listener.model_validate({"address": "127.0.0.1:0", "certificates": pairs, **options})


def asking(folder: Path, authority: pki.Authority, mode: str = "required") -> dict[str, Any]:
    return {"client_certificates": {"mode": mode, "authorities": [authority.write(folder, "client-ca")]}}


@contextlib.asynccontextmanager
async def serving(of: settings.Listener | None = None, **options: Any) -> AsyncIterator[Service]:
    """A running listener; plaintext when no settings are given."""
    service = Service()
    address = of.address if of is not None else settings.Listener(address="127.0.0.1:0", protocol="http").address
    service.listener = Listener(
        bind_socket(address),
        str(address),
        service.application,
        contexts=None if of is None else contexts.build(of, time.time()),
        describe=described,
        on_handshake_failed=service.failures.append,
        **options,
    )
    await service.listener.start()
    try:
        yield service
    finally:
        service.listener.close()
        async with asyncio.timeout(PATIENCE):
            await service.listener.wait_empty()


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def exchange(port: int, context: ssl.SSLContext, name: str = "localhost", data: bytes = b"ping") -> bytes:
    """One echo, from a thread: `await asyncio.to_thread(exchange, …)`."""
    with dial(port) as raw, context.wrap_socket(raw, server_hostname=name) as tls:
        tls.sendall(data)
        return receive(tls, len(data))


def receive(sock: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size and (data := sock.recv(65536)):
        got += data
    return bytes(got)


class MemoryClient:
    """A TLS client whose records the test itself carries, so that it can hold them back, join or spoil them."""

    def __init__(self, context: ssl.SSLContext, name: str = "localhost") -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def connect(self, port: int) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send()
                self.incoming.write(await asyncio.wait_for(self.reader.read(65536), PATIENCE))
            else:
                self.send()
                return self

    def send(self) -> None:
        """What TLS has to say."""
        self.writer.write(self.outgoing.read())

    async def read_record(self) -> bytes:
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                data = await asyncio.wait_for(self.reader.read(65536), PATIENCE)
                if not data:
                    raise EOFError from None
                self.incoming.write(data)
