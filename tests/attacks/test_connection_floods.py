"""Claim: one client cannot take the connections of all others, nor all of them more than the process can bear."""

import asyncio
import contextlib
import socket
from pathlib import Path

from tests import pki
from tests.listening import dial, exchange, listener_settings, receive, serving, until
from ztproxy.config.edge import Connections
from ztproxy.edge.admission import HANDSHAKES, MAXIMUM, PER_SOURCE, Admission

AUTHORITY = pki.Authority.new()


def ping(port: int) -> bytes:
    with contextlib.suppress(ConnectionError), dial(port) as sock:
        sock.sendall(b"ping")
        return receive(sock, 4)
    return b""


async def test_beyond_the_maximum_the_newest_is_closed_and_the_others_go_on() -> None:
    bounded = Admission(Connections(maximum=3))
    async with serving(admission=bounded) as service:
        idle = [dial(service.port) for _ in range(3)]
        await until(lambda: bounded.open == 3)
        assert await asyncio.to_thread(ping, service.port) == b""
        idle[0].sendall(b"here")
        assert await asyncio.to_thread(receive, idle[0], 4) == b"here"
        idle[1].close()
        await until(lambda: bounded.open == 2)
        assert await asyncio.to_thread(ping, service.port) == b"ping"
        assert bounded.refused[MAXIMUM] == 1
        for sock in idle:
            sock.close()


def dial_from(address: str, port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), source_address=(address, 0), timeout=5)


async def test_one_address_has_its_share_and_another_is_served() -> None:
    bounded = Admission(Connections(per_source=2))
    async with serving(admission=bounded) as service:
        idle = [dial(service.port) for _ in range(2)]
        await until(lambda: bounded.open == 2)
        assert await asyncio.to_thread(ping, service.port) == b""
        with dial_from("127.0.0.2", service.port) as other:
            other.sendall(b"ping")
            assert await asyncio.to_thread(receive, other, 4) == b"ping"
        assert bounded.refused[PER_SOURCE] == 1
        for sock in idle:
            sock.close()
        await until(lambda: bounded.open == 0)
        assert await asyncio.to_thread(ping, service.port) == b"ping"


async def test_handshakes_that_never_end_are_bounded_and_done_with_in_time(tmp_path: Path) -> None:
    bounded = Admission(Connections(handshakes=2, handshake_timeout=0.2))
    context = pki.client_context(AUTHORITY)
    async with serving(listener_settings(tmp_path, AUTHORITY), admission=bounded) as service:
        mute = [dial(service.port) for _ in range(2)]
        await until(lambda: bounded.handshakes == 2)
        assert await asyncio.to_thread(ping, service.port) == b""
        assert bounded.refused[HANDSHAKES] == 1
        await until(lambda: bounded.handshakes == 0)
        assert await asyncio.to_thread(exchange, service.port, context) == b"ping"
        for sock in mute:
            sock.close()


async def test_connections_past_their_handshake_take_no_place_from_it(tmp_path: Path) -> None:
    bounded = Admission(Connections(handshakes=1))
    context = pki.client_context(AUTHORITY)
    async with serving(listener_settings(tmp_path, AUTHORITY), admission=bounded) as service:

        def talk() -> bytes:
            with dial(service.port) as raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
                tls.sendall(b"x")
                receive(tls, 1)
                return exchange(service.port, context)

        assert await asyncio.to_thread(talk) == b"ping"
        await until(lambda: bounded.open == 0)
        assert bounded.handshakes == 0


async def test_whoever_is_refused_costs_no_application() -> None:
    async with serving(admission=Admission(Connections(maximum=1))) as service:
        with dial(service.port):
            await until(lambda: service.listener.open == 1)
            for _ in range(20):
                assert await asyncio.to_thread(ping, service.port) == b""
            assert len(service.applications) == 1
