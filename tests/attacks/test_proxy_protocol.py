"""Claim: who a connection comes from is said by a trusted balancer in a sound PROXY header, or by the socket alone."""

import asyncio
import contextlib
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests import pki
from tests.edge import Edge, get
from tests.listening import dial, listener_settings, receive, serving, until
from tests.unit.test_edge_proxy_header import BAD, V4, v2
from ztproxy.config.edge import Connections
from ztproxy.edge.admission import Admission
from ztproxy.model import Connection

AUTHORITY = pki.Authority.new()
LOOPBACK = (ip_network("127.0.0.0/8"),)
ELSEWHERE = (ip_network("10.0.0.0/8"),)
HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\r\n"


def say(port: int, *pieces: bytes, expect: int = 4) -> bytes:
    """What comes back; nothing when the connection is closed."""
    with dial(port) as sock, contextlib.suppress(ConnectionError):
        for piece in pieces:
            sock.sendall(piece)
        return receive(sock, expect)
    return b""


@pytest.mark.parametrize("header", [HEADER, v2(0x21, 0x11, V4), v2(0x21, 0x11, V4 + b"\x05\x00\x03abc")])
@pytest.mark.parametrize("split", [False, True])
async def test_the_named_client_is_the_peer(header: bytes, split: bool) -> None:
    async with serving(balancers=LOOPBACK) as service:
        pieces = [bytes([octet]) for octet in header] + [b"ping"] if split else [header + b"ping"]
        assert await asyncio.to_thread(say, service.port, *pieces) == b"ping"
        connection = service.applications[0].connection
        assert (connection.peer, connection.peer_port) == ("192.0.2.1", 5000)
        assert connection.local_port == service.port
        assert not connection.anonymous


async def test_it_comes_before_tls(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY), balancers=LOOPBACK) as service:

        def talk() -> bytes:
            with dial(service.port) as raw:
                raw.sendall(HEADER)
                with pki.client_context(AUTHORITY).wrap_socket(raw, server_hostname="localhost") as tls:
                    tls.sendall(b"ping")
                    return receive(tls, 4)

        assert await asyncio.to_thread(talk) == b"ping"
        connection = service.applications[0].connection
        assert (connection.peer, connection.tls is not None) == ("192.0.2.1", True)
        await until(lambda: service.listener.open == 0)
        assert (service.listener.admission.open, service.listener.admission.handshakes) == (0, 0)


async def test_within_tls_it_is_no_header(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY), balancers=LOOPBACK) as service:

        def talk() -> bytes:
            with dial(service.port) as raw, contextlib.suppress(OSError):
                with pki.client_context(AUTHORITY).wrap_socket(raw, server_hostname="localhost") as tls:
                    tls.sendall(HEADER + b"ping")
                    return receive(tls, 4)
            return b""

        assert await asyncio.to_thread(talk) == b""
        assert not service.applications


async def test_from_a_peer_that_is_not_trusted_nothing_is_read() -> None:
    async with serving(balancers=ELSEWHERE) as service:
        assert await asyncio.to_thread(say, service.port, HEADER + b"ping") == b""
        await until(lambda: service.failures)
        assert "not in `trusted_proxies`" in service.failures[0].cause
        assert service.failures[0].peer == "127.0.0.1"
        assert not service.applications


@pytest.mark.parametrize("octets", BAD.values(), ids=BAD.keys())
async def test_a_bad_header_closes_the_connection_and_is_told(octets: bytes) -> None:
    async with serving(balancers=LOOPBACK) as service:
        assert await asyncio.to_thread(say, service.port, octets + b"ping") == b""
        await until(lambda: service.failures)
        assert not service.applications
        await until(lambda: service.listener.open == 0)


async def test_a_second_header_is_the_clients_own_octets() -> None:
    async with serving(balancers=LOOPBACK) as service:
        forged = b"PROXY TCP4 203.0.113.9 198.51.100.2 1 2\r\n"
        assert await asyncio.to_thread(say, service.port, HEADER + forged, expect=len(forged)) == forged
        assert service.applications[0].connection.peer == "192.0.2.1"


async def test_where_none_is_asked_a_header_is_no_http() -> None:
    edge = Edge()
    assert edge.send(HEADER + get()).startswith(b"HTTP/1.1 400 ")
    assert not edge.arrived


@pytest.mark.parametrize("header", [b"", HEADER[:20], v2(0x21, 0x11, V4)[:20]])
async def test_a_header_must_come_in_time(header: bytes) -> None:
    impatient = Admission(Connections(handshake_timeout=0.05))
    async with serving(balancers=LOOPBACK, admission=impatient) as service:
        assert await asyncio.to_thread(say, service.port, header) == b""
        await until(lambda: service.failures)
        assert service.failures[0].cause == "no PROXY header in time"
        await until(lambda: impatient.open == 0)


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2(0x21, 0x00, b""), v2(0x20, 0x00, b"")])
async def test_who_is_not_named_has_the_sockets_address_and_is_believed_nothing(header: bytes) -> None:
    async with serving(balancers=LOOPBACK) as service:
        assert await asyncio.to_thread(say, service.port, header + b"ping") == b"ping"
        connection = service.applications[0].connection
        assert (connection.peer, connection.anonymous) == ("127.0.0.1", True)


@pytest.mark.parametrize(("anonymous", "source"), [(False, "203.0.113.9"), (True, "10.0.0.1")])
async def test_x_forwarded_for_is_not_believed_through_a_balancer_that_names_nobody(anonymous, source) -> None:
    connection = Connection("l", "http", "10.0.0.1", 1, 80, anonymous=anonymous)
    edge = Edge(connection=connection, trusted_proxies=ELSEWHERE)
    edge.send(get(b"/", b"X-Forwarded-For: 203.0.113.9"))
    assert edge.arrived[0].source == source


async def test_x_forwarded_for_of_a_named_client_is_not_believed() -> None:
    connection = Connection("l", "http", "192.0.2.1", 1, 80)
    edge = Edge(connection=connection, trusted_proxies=ELSEWHERE)
    edge.send(get(b"/", b"X-Forwarded-For: 203.0.113.9"))
    assert edge.arrived[0].source == "192.0.2.1"


async def test_named_clients_are_counted_each_for_itself() -> None:
    bounded = Admission(Connections(per_source=1), LOOPBACK)
    async with serving(balancers=LOOPBACK, admission=bounded) as service:

        def talk() -> list[bytes]:
            with dial(service.port) as first:
                first.sendall(HEADER + b"ping")
                other = HEADER.replace(b"192.0.2.1", b"192.0.2.2")
                return [receive(first, 4), say(service.port, HEADER + b"ping"), say(service.port, other + b"ping")]

        assert await asyncio.to_thread(talk) == [b"ping", b"", b"ping"]
        await until(lambda: bounded.open == 0)
        assert not bounded.sources


async def test_closing_the_listener_closes_those_that_have_said_nothing() -> None:
    async with serving(balancers=LOOPBACK) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await until(lambda: service.listener.open == 1)
        service.listener.close()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        await asyncio.wait_for(service.listener.wait_empty(), 5)
        writer.close()
