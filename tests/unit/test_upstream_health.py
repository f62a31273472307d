"""Servers are asked whether they are well, over the TLS of requests, and get none while they are not."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from tests.pki import Authority
from tests.raw_server import Peer, RawServer, Scene, always, and_wait, exchange, settings
from ztproxy.config.upstreams import Health
from ztproxy.model import Reason
from ztproxy.upstream import Upstreams
from ztproxy.upstream.health import is_well

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n"
QUICK = {"path": "/healthz", "interval": "10ms", "timeout": "2s", "healthy": 2, "unhealthy": 2}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


def health(**values) -> Health:
    return Health.model_validate({"path": "/healthz", "timeout": "2s", **values})


async def asked(scene: Scene, *scripts, **values) -> bool:
    server = await scene.start(*scripts)
    return await is_well(scene.build(server.url)._pools[0], health(**values))


async def test_what_is_asked(scene):
    server = await scene.start(always(OK))
    pool = scene.build(server.url)._pools[0]
    assert await is_well(pool, health(path="/healthz?deep=1", host="app.internal"))
    assert server.heads == [
        b"GET /healthz?deep=1 HTTP/1.1\r\nHost: app.internal\r\nUser-Agent: ztproxy-health\r\nConnection: close\r\n\r\n"
    ]
    assert (pool.connections, pool.idle) == (0, 0)
    await is_well(pool, health())
    assert f"\r\nHost: 127.0.0.1:{server.port}\r\n".encode() in server.heads[1]


@pytest.mark.parametrize(
    ("answer", "statuses", "well"),
    [
        (OK, [200], True),
        (BAD, [200], False),
        (b"HTTP/1.1 204 None\r\n\r\n", [200, 204], True),
        (b"HTTP/1.1 302 Moved\r\nLocation: /\r\n\r\n", [200], False),
        (b"SSH-2.0-x\r\n", [200], False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, [200], True),
        (b"", [200], False),
    ],
)
async def test_what_counts_as_well(scene, answer, statuses, well):
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(answer)

    assert await asked(scene, script, status=statuses) is well


async def test_no_answer_in_time_is_none(scene):
    assert not await asked(scene, and_wait(), timeout="50ms")


async def test_nobody_listening(scene):
    server = await scene.start(always(OK))
    pool = scene.build(server.url)._pools[0]
    await server.stop()
    assert not await is_well(pool, health())


async def test_over_the_tls_of_requests(scene, tmp_path):
    ca = Authority.new()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ca.server().write(tmp_path, "server"))
    server = await scene.start(always(OK), context=context)
    url = f"https://localhost:{server.port}"
    right, wrong = ca.write(tmp_path, "right"), Authority.new().write(tmp_path, "wrong")
    assert await is_well(scene.build(url, tls={"authorities": [right]})._pools[0], health())
    assert not await is_well(scene.build(url, tls={"authorities": [wrong]})._pools[0], health())


class Moody:
    """A server that is well or not, as told."""

    def __init__(self) -> None:
        self.well = True
        self.checks = 0
        self.checked = asyncio.Event()
        self.served = 0

    async def __call__(self, peer: Peer) -> None:
        while True:
            head = await peer.head()
            if head.startswith(b"GET /healthz "):
                self.checks += 1
                self.checked.set()
                await peer.say(OK if self.well else BAD)
                return
            self.served += 1
            await peer.say(OK)

    async def more(self, checks: int) -> None:
        """Wait until it was asked so many times more and the last result is known."""
        until = self.checks + checks + 1
        while self.checks < until:
            self.checked.clear()
            await asyncio.wait_for(self.checked.wait(), 5)


async def moody(scene: Scene, count: int, **upstream) -> tuple[list[Moody], Upstreams]:
    moods = [Moody() for _ in range(count)]
    servers = [await scene.start(mood) for mood in moods]
    return moods, scene.build(*(server.url for server in servers), health=QUICK, **upstream)


def healthy(upstreams: Upstreams) -> list[bool]:
    return [state.healthy for state in upstreams.view()]


async def test_one_that_is_unhealthy_gets_no_requests_until_it_is_well_again(scene):
    (first, second), upstreams = await moody(scene, 2)
    second.well = False
    await second.more(3)
    assert healthy(upstreams) == [True, False]
    for _ in range(4):
        assert (await exchange(upstreams)).content == b"ok"
    assert (first.served, second.served) == (4, 0)
    second.well = True
    await second.more(3)
    assert healthy(upstreams) == [True, True]
    for _ in range(4):
        await exchange(upstreams)
    assert second.served == 2


async def test_the_first_check_is_not_waited_for(scene):
    server = await scene.start(and_wait())
    upstreams = scene.build(server.url, health=QUICK | {"interval": "1h"})
    assert healthy(upstreams) == [True]
    assert upstreams.view()[0].checks == 0


async def test_while_none_is_well_none_is_asked(scene):
    (mood,), upstreams = await moody(scene, 1)
    mood.well = False
    await mood.more(3)
    client = await exchange(upstreams)
    assert client.refusal is not None
    assert client.refusal.reason is Reason.UPSTREAM_UNREACHABLE
    assert mood.served == 0


async def test_its_idle_connections_are_closed(scene):
    (mood,), upstreams = await moody(scene, 1)
    await exchange(upstreams)
    assert upstreams.view()[0].idle == 1
    mood.well = False
    await mood.more(3)
    assert upstreams.view()[0].idle == 0


@pytest.mark.interpreted
async def test_a_bug_in_a_check_is_told_and_counts_as_unwell(scene, monkeypatch):
    (mood,), upstreams = await moody(scene, 1)
    told = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda *_: told.set())
    await mood.more(1)

    async def broken():
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(upstreams._pools[0], "connect", broken)
        async with asyncio.timeout(5):
            while upstreams.view()[0].healthy:
                await told.wait()
                told.clear()
    await mood.more(3)
    assert healthy(upstreams) == [True]


async def test_nobody_is_asked_before_the_start(scene):
    mood = Moody()
    server = await scene.start(mood)
    Upstreams.build(settings(server.url, health=QUICK))
    await exchange(scene.build(server.url))
    assert asyncio.all_tasks() == {asyncio.current_task(), *server.tasks}
    assert mood.checks == 0


async def test_whoever_retires_asks_no_more():
    mood = Moody()
    server = await RawServer.start(mood)
    upstreams = Upstreams.build(settings(server.url, health=QUICK))
    upstreams.start()
    upstreams.start()
    await mood.more(1)
    upstreams.retire()
    tasks = asyncio.all_tasks() - server.tasks - {asyncio.current_task()}
    await asyncio.wait(tasks, timeout=5) if tasks else None
    assert all(task.done() for task in tasks)
    await upstreams.close()
    await server.stop()
