"""Who may speak in a service's name: the users that its outbound socket is for, and nobody by another listener."""

import asyncio
import os
import socket

import pytest

from tests.listening import Service, until
from ztproxy.config.edge import Connections
from ztproxy.config.values import UnixAddress
from ztproxy.edge.listener import Listener, bind_socket


async def asked(path):
    """What a caller on the socket gets for a ping."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    async with asyncio.timeout(10):
        try:
            writer.write(b"ping")
            return await reader.read(4)
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def listening(tmp_path, users):
    service = Service()
    path = tmp_path / "out.sock"
    listener = Listener(bind_socket(UnixAddress(path)), f"unix:{path}", service.application, users=users)
    await listener.start()
    return listener, path, service


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the kernel does not say who connects")
async def test_another_user_is_turned_away_before_anything_is_read(tmp_path):
    listener, path, service = await listening(tmp_path, [os.geteuid() + 1])
    try:
        assert await asked(path) == b""
        assert service.applications == []
        assert listener.admission.refused["users"] == 1
        listener.admit(Connections(), (), [os.geteuid()])  # a reload says otherwise
        assert await asked(path) == b"ping"
        listener.admit(Connections(), (), [os.geteuid() + 1])
        assert await asked(path) == b""
    finally:
        listener.close()
    await until(lambda: not listener.open)


async def test_without_users_the_sockets_mode_says_who(tmp_path):
    listener, path, _ = await listening(tmp_path, [])
    try:
        assert await asked(path) == b"ping"
        assert oct(path.stat().st_mode & 0o777) == "0o660"
    finally:
        listener.close()
    await until(lambda: not listener.open)
