"""Binding, accepting and ending."""

import asyncio
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import pki
from tests.listening import PATIENCE, Recorder, dial, exchange, listener_settings, receive, serving, until
from ztproxy.config.values import TcpAddress, UnixAddress
from ztproxy.edge.listener import BindError, Listener, bind_socket


def test_port_in_use_is_said_with_the_address() -> None:
    with bind_socket(TcpAddress("127.0.0.1", 0)) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(BindError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            bind_socket(TcpAddress("127.0.0.1", port))


def test_foreign_address_is_said() -> None:
    with pytest.raises(BindError, match=r"cannot listen on 203\.0\.113\.1:8443: "):
        bind_socket(TcpAddress("203.0.113.1", 8443))


def test_name_that_does_not_resolve_is_said() -> None:
    with pytest.raises(BindError, match=r"cannot listen on does-not-exist\.invalid:1: "):
        bind_socket(TcpAddress("does-not-exist.invalid", 1))


def test_impossible_name_is_said() -> None:
    with pytest.raises(BindError, match="that is no host name"):
        bind_socket(TcpAddress("x" * 70 + ".example", 1))


def test_localhost_is_ipv4() -> None:
    with bind_socket(TcpAddress("localhost", 0)) as sock:
        assert sock.family == socket.AF_INET


def test_ipv6_takes_no_ipv4() -> None:
    """Otherwise IPv4 clients would appear as ::ffff:192.0.2.1, another address to every rule."""
    try:
        sock = bind_socket(TcpAddress("::", 0))
    except BindError:
        pytest.skip("enable IPv6: sysctl net.ipv6.conf.all.disable_ipv6=0")
    with sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_unix_socket_belongs_to_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    with bind_socket(UnixAddress(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    bind_socket(UnixAddress(path)).close()
    assert path.exists()
    bind_socket(UnixAddress(path)).close()


def test_unix_socket_that_answers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    with bind_socket(UnixAddress(path)) as first:
        first.listen()
        with pytest.raises(BindError, match="another process answers there"):
            bind_socket(UnixAddress(path))
        assert path.exists()


def test_other_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    path.write_text("precious")
    with pytest.raises(BindError, match="no socket"):
        bind_socket(UnixAddress(path))
    assert path.read_text() == "precious"


async def test_unix_listener_serves_and_cleans_up(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    made = Recorder()
    listener = Listener(bind_socket(UnixAddress(path)), f"unix:{path}", lambda: made)
    await listener.start()
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    assert (made.connection.peer, made.connection.peer_port, made.connection.local_port) == ("", 0, 0)
    assert listener.address == f"unix:{path}"
    writer.close()
    await listener.wait_empty()
    listener.close()
    assert not path.exists()


async def test_stopped_listener_keeps_its_connections() -> None:
    async with serving() as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        service.listener.stop_accepting()
        with pytest.raises(OSError, match=r"[Cc]onnect|refused"):
            await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
        assert service.listener.open == 1
        writer.close()
        await asyncio.wait_for(service.listener.wait_empty(), 5)


async def test_close_aborts_what_is_open() -> None:
    async with serving() as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await until(lambda: service.listener.open == 1)
        service.listener.close()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        await service.listener.wait_empty()
        assert service.applications[0].events == ["connected", "lost"]


async def test_ports_are_told() -> None:
    async with serving() as service:
        await asyncio.to_thread(lambda: dial(service.port).close())
        await until(lambda: service.applications)
        assert service.applications[0].connection.local_port == service.port
        assert service.listener.address == f"127.0.0.1:{service.port}"


EXHAUSTED = """
import asyncio, os, resource, socket, sys
import uvloop
from tests.listening import PATIENCE, Recorder
from ztproxy.config.values import TcpAddress
from ztproxy.edge.listener import Listener, bind_socket

async def main():
    listener = Listener(bind_socket(TcpAddress("127.0.0.1", 0)), "x", Recorder)
    await listener.start()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    print(listener.port, flush=True)
    await asyncio.sleep(60)

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
(uvloop.run if sys.argv[1] == "uvloop" else asyncio.run)(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_too_many_open_files_are_survived(loop: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", EXHAUSTED, loop], stdout=subprocess.PIPE, cwd=Path.cwd())
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        flood = [dial(port) for _ in range(100)]
        for sock in flood[:10]:
            sock.sendall(b"x")
            assert receive(sock, 1) == b"x"
        for sock in flood:
            sock.close()
        deadline = time.monotonic() + PATIENCE
        while not served(port):  # asyncio's own loop rests a second after it has run out
            assert time.monotonic() < deadline
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def served(port: int) -> bool:
    try:
        with dial(port) as sock:
            sock.sendall(b"y")
            return receive(sock, 1) == b"y"
    except OSError:
        return False


async def test_connections_and_handshakes_are_counted(tmp_path: Path) -> None:
    authority = pki.Authority.new()
    async with serving(listener_settings(tmp_path, authority)) as service:
        await asyncio.to_thread(exchange, service.port, pki.client_context(authority))
        dial(service.port).close()
        await until(lambda: service.listener.accepted == 2)
        assert service.listener.completed == 1


async def test_the_file_of_a_shared_socket_is_not_ours_to_remove(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bind_socket(UnixAddress(path)) as kept:
        listener = Listener(kept.dup(), f"unix:{path}", Recorder, shared=True)
        await listener.start()
        listener.close()
        assert path.exists()
        assert kept.getsockname() == str(path)
