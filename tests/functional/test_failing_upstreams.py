"""Servers fail in every way while the real program serves: no wrong answer, and what may be asked again succeeds."""

import asyncio
from collections import Counter

import pytest

from tests.functional.gateway import Gateway
from tests.raw_server import Peer, RawServer

pytestmark = pytest.mark.slow

CLIENTS, REQUESTS = 8, 25


async def echo(peer: Peer) -> None:
    """Answers each request with its own path."""
    while True:
        head = await peer.head()
        path = head.split(b" ", 2)[1]
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))


async def hang(peer: Peer) -> None:
    await peer.head()
    await peer.until_closed()


async def reset(peer: Peer) -> None:
    await peer.head()
    peer.reset()


async def echo_once(peer: Peer) -> None:
    head = await peer.head()
    path = head.split(b" ", 2)[1]
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))


async def garbage(peer: Peer) -> None:
    await peer.head()
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nwrong")


FAILING = {
    "hangs": hang,
    "resets": reset,
    "closes idle connections": echo_once,
    "answers garbage": garbage,
}


async def ask(gateway: Gateway, method: str = "GET") -> Counter[object]:
    """Many requests at once, each with a path of its own; counts the statuses, and holds that answers are right."""
    answers: Counter[object] = Counter()
    headers = gateway.bearer()

    async def client(number: int) -> None:
        for turn in range(REQUESTS):
            path = f"/{number}/{turn}"
            async with session.request(method, path, headers=headers) as response:
                body = await response.text()
                answers[response.status] += 1
                assert response.status != 200 or body == path

    async with gateway.session() as session:
        await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return answers


def upstream(*servers: RawServer, more: str = "") -> str:
    urls = ", ".join(f'"{server.url}"' for server in servers)
    return f"{{servers: [{urls}], timeouts: {{connect: 1s, response: 300ms, idle: 2s}}{more}}}"


async def stop(*servers: RawServer) -> None:
    for server in servers:
        await server.stop()


@pytest.mark.parametrize("how", FAILING)
async def test_one_of_three_fails_and_nobody_notices(tmp_path, how):
    servers = [await RawServer.start(script) for script in (echo, FAILING[how], echo)]
    async with Gateway(tmp_path, upstream=upstream(*servers)) as gateway:
        assert await ask(gateway) == {200: CLIENTS * REQUESTS}
    await stop(*servers)


async def test_what_may_have_been_done_is_not_done_twice(tmp_path):
    servers = [await RawServer.start(script) for script in (echo, reset, echo)]
    async with Gateway(tmp_path, upstream=upstream(*servers, more=", outliers: {maximum_ejected: 0}")) as gateway:
        answers = await ask(gateway, "POST")
    assert answers[200] + answers[502] == CLIENTS * REQUESTS
    assert answers[502] == len(servers[1].heads) > 0
    asked = Counter(head.split(b" ", 2)[1] for server in servers for head in server.heads)
    assert set(asked.values()) == {1}
    await stop(*servers)


async def test_a_server_that_is_killed_under_load_and_comes_back(tmp_path):
    first, second = await RawServer.start(echo), await RawServer.start(echo)
    checks = ", health: {path: /up, interval: 50ms, timeout: 1s, healthy: 1, unhealthy: 1}, outliers: {eject: 100ms}"
    async with Gateway(tmp_path, upstream=upstream(first, second, more=checks)) as gateway:
        load = asyncio.ensure_future(ask(gateway))
        async with asyncio.timeout(20):
            while len(second.heads) < 20:
                await asyncio.sleep(0.005)
        port = second.port
        await second.stop()
        assert await load == {200: CLIENTS * REQUESTS}
        again = RawServer(echo)
        again._listener = await asyncio.start_server(again._serve, "127.0.0.1", port)
        async with asyncio.timeout(20):
            while not any(b"GET /up " not in head for head in again.heads):
                assert await ask(gateway) == {200: CLIENTS * REQUESTS}
        assert any(b"GET /up " in head for head in again.heads)
        served = {line["upstream"] for line in gateway.access_log()}
        assert served == {first.url, second.url}
    await stop(first, again)


async def test_a_cookie_leads_back_and_stays_here(tmp_path):
    servers = [await RawServer.start(echo) for _ in range(3)]
    async with Gateway(tmp_path, upstream=upstream(*servers, more=", sticky: {}")) as gateway:
        async with gateway.session() as session:
            async with session.get("/first", headers=gateway.bearer()) as response:
                cookie = response.headers["Set-Cookie"]
            assert cookie.startswith("__Host-ztproxy-server=")
            headers = gateway.bearer() | {"Cookie": f"a=1; {cookie.partition(';')[0]}"}
            for number in range(5):
                async with session.get(f"/{number}", headers=headers) as response:
                    assert response.status == 200
                    assert "Set-Cookie" not in response.headers
        assert (tmp_path / "var" / "sticky.key").stat().st_size == 32
    assert sorted(len(server.heads) for server in servers) == [0, 0, 6]
    (own,) = (server for server in servers if server.heads)
    assert all(b"\r\ncookie: a=1\r\n" in head and b"__Host-" not in head for head in own.heads[1:])
    await stop(*servers)


async def test_more_than_the_servers_may_have_waits_or_is_refused(tmp_path):
    async def slow(peer: Peer) -> None:
        nonlocal most, now
        while True:
            await peer.head()
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.02)
            now -= 1
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    most = now = 0
    server = await RawServer.start(slow)
    limits = ", maximum_requests: 2, queue: {length: 3, wait: 2s}"
    async with Gateway(tmp_path, upstream=upstream(server, more=limits)) as gateway, gateway.session() as session:
        headers = gateway.bearer()

        async def one() -> tuple[int, str | None]:
            async with session.get("/x", headers=headers) as response:
                await response.read()
                return response.status, response.headers.get("Retry-After")

        answers = Counter(await asyncio.gather(*(one() for _ in range(40))))
    assert most <= 2
    assert set(answers) <= {(200, None), (503, "1")}
    assert answers[200, None] >= 5
    await server.stop()
