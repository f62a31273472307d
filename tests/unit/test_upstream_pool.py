"""Idle connections: bounded in number and time, and never kept longer than their server says."""

import asyncio

import pytest

from tests.raw_server import settings
from ztproxy.upstream import Upstreams, pool
from ztproxy.upstream.connection import Connection
from ztproxy.upstream.pool import Pool


class Transport:
    """What a connection needs of a transport here."""

    def __init__(self) -> None:
        self.aborted = False
        self.closing = False

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def woken():
    return []


@pytest.fixture
def idle(woken):
    upstream = settings("http://127.0.0.1:1").routes[0].upstream
    return Pool("http://127.0.0.1:1", upstream, None, lambda: woken.append(1))


def connect(owner: Pool) -> Connection:
    connection = Connection(owner, pool.IDLE_SECONDS)
    connection.connection_made(Transport())
    return connection


def test_the_latest_is_taken_first(idle):
    connections = [connect(idle) for _ in range(3)]
    for connection in connections:
        idle.put(connection, 0.0)
    assert [idle.take() for _ in range(4)] == [*reversed(connections), None]


def test_what_was_idle_too_long_is_closed(idle, woken):
    old, new = connect(idle), connect(idle)
    idle.put(old, 0.0)
    idle.put(new, 20.0)
    assert woken
    assert idle.expire(pool.IDLE_SECONDS)
    assert old.transport.aborted
    assert idle.take() is new
    assert not idle.expire(1000.0)


def test_their_number_is_bounded(idle, monkeypatch):
    monkeypatch.setattr(idle, "_limit", 2)
    connections = [connect(idle) for _ in range(3)]
    for connection in connections:
        idle.put(connection, 0.0)
    assert connections[2].transport.aborted
    assert len(idle._idle) == 2


@pytest.mark.parametrize(("said", "kept"), [(b"timeout=5, max=100", 4.0), (b"timeout=1", 0.0), (b"max=5", 30.0)])
def test_a_server_that_says_how_long_it_waits_is_believed(idle, said, kept):
    connection = connect(idle)
    connection.reader.feed(b"HTTP/1.1 200 OK\r\nKeep-Alive: " + said + b"\r\nContent-Length: 0\r\n\r\n")
    idle.put(connection, 0.0)
    assert connection.keep == kept
    assert (idle.take() is None) == (kept == 0.0)


def test_what_is_closing_or_lost_is_not_taken(idle):
    closing, lost = connect(idle), connect(idle)
    idle.put(closing, 0.0)
    idle.put(lost, 0.0)
    closing.transport.closing = True
    lost.connection_lost(None)
    assert idle.take() is None


@pytest.mark.parametrize(
    ("server", "host"),
    [
        ("http://app.test", b"app.test"),
        ("http://app.test:80", b"app.test"),
        ("https://app.test", b"app.test"),
        ("https://app.test:80", b"app.test:80"),
        ("http://[::1]:8080", b"[::1]:8080"),
        ("http://bücher.test:81", b"xn--bcher-kva.test:81"),
    ],
)
def test_the_host_that_a_server_is_asked_for(server, host):
    upstream = settings(server).routes[0].upstream
    assert Pool(server, upstream, None, lambda: None).host == host


async def test_what_is_idle_is_closed_in_time_without_a_request(monkeypatch):
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.05)
    upstreams = Upstreams.build(settings("http://127.0.0.1:1", timeouts={"idle": "40ms"}))
    connection = connect(upstreams._pools[0])
    upstreams._pools[0].put(connection, asyncio.get_running_loop().time())
    async with asyncio.timeout(5):
        while not connection.transport.aborted:
            await asyncio.sleep(0.01)
    assert upstreams._deadlines._timer is None or not upstreams._pools[0]._idle
    await upstreams.close()
