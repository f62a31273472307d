"""What stands behind the proxy is killed while requests run: refusals as designed, no hang, recovery by itself."""

import asyncio
import shutil
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Self

import pytest
from aiohttp import web

from tests.functional.gateway import POLICY, Gateway
from tests.functional.ports import free_port
from tests.functional.redis_server import RedisServer
from tests.opa import Server as OpaServer
from tests.opa import need_binary

pytestmark = pytest.mark.slow

CLIENTS = 8
LONGEST = 5.0
"""Seconds that no answer may take."""


class Load:
    """Clients that ask again and again; counts the answers by status and reason."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.answers: Counter[tuple[int, str]] = Counter()
        self.longest = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._session = self.gateway.session()
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(CLIENTS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        headers = self.gateway.bearer()
        while True:
            began = loop.time()
            async with self._session.get("/x", headers=headers) as response:
                body = await response.json(content_type=None)
            self.longest = max(self.longest, loop.time() - began)
            self.answers[response.status, body.get("reason", "")] += 1

    async def until(self, status: int, reason: str = "", count: int = 20) -> None:
        """Wait until so many answers of a kind have come from now on."""
        before = self.answers[status, reason]
        async with asyncio.timeout(20):
            while self.answers[status, reason] < before + count:
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)


async def outage(
    gateway: Gateway, kill: Callable[[], None], revive: Callable[[], Awaitable[None]], status: int, reason: str
) -> None:
    async with Load(gateway) as load:
        await load.until(200)
        kill()
        await load.until(status, reason)
        await revive()
        await load.until(200)
        assert load.longest < LONGEST
        assert {key for key in load.answers if key[0] != 200} == {(status, reason)}


async def test_the_opa_server_is_killed(tmp_path):
    need_binary()
    (tmp_path / "opa").mkdir()
    (tmp_path / "opa" / "authz.rego").write_text(POLICY)
    opa = OpaServer(tmp_path / "opa", free_port())
    await opa.start()
    policy = f'{{engine: server, deadline: 2s, server: {{url: "{opa.url}"}}}}'
    try:
        async with Gateway(tmp_path, policy=policy) as gateway:
            await outage(gateway, opa.kill, opa.start, 503, "policy-unavailable")
    finally:
        opa.kill()


needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs Redis: apt-get install redis-server"
)


@needs_redis
async def test_redis_is_killed_and_limits_refuse(tmp_path):
    redis = RedisServer(tmp_path)
    rule = "{key: token.subject, rate: 100000/second, burst: 100000}"
    try:
        async with Gateway(tmp_path, limits=f"{{storage: '{redis.uri}', timeout: 1s, rules: [{rule}]}}") as gateway:
            await outage(gateway, redis.kill, redis.restart, 503, "overloaded")
    finally:
        redis.kill()


@needs_redis
async def test_redis_is_killed_and_limits_go_on_in_the_process(tmp_path):
    redis = RedisServer(tmp_path)
    rule = "{key: token.subject, rate: 100000/second, burst: 100000, on_failure: local}"
    try:
        async with Gateway(tmp_path, limits=f"{{storage: '{redis.uri}', timeout: 1s, rules: [{rule}]}}") as gateway:
            async with Load(gateway) as load:
                await load.until(200)
                redis.kill()
                await load.until(200, count=200)
                await redis.restart()
                await load.until(200)
                assert load.longest < LONGEST
                assert set(load.answers) == {(200, "")}
    finally:
        redis.kill()


async def test_the_issuer_is_killed_and_known_keys_stay_in_use_over_a_restart(tmp_path):
    async with Gateway(tmp_path) as gateway:
        async with Load(gateway) as load:
            await load.until(200)
            await gateway.stop_issuer()
            await load.until(200, count=100)
            assert set(load.answers) == {(200, "")}
        await gateway.stop(signal.SIGKILL)
        await gateway.start()
        async with gateway.session() as session:
            async with session.get("/x", headers=gateway.bearer(sub="never seen before")) as response:
                assert response.status == 200
            unknown = gateway.bearer(header={"kid": "rotated"})
            async with session.get("/x", headers=unknown) as response:
                assert (await response.json(content_type=None))["reason"] == "token-key-unknown"


async def test_an_issuer_that_was_never_reached_is_503_and_recovers(tmp_path):
    async with Gateway(tmp_path, start_issuer="") as gateway, gateway.session() as session:
        async with session.get("/x", headers=gateway.bearer()) as response:
            assert response.status == 503
            assert (await response.json(content_type=None))["reason"] == "issuer-keys-unavailable"
        await gateway.start_issuer()
        async with asyncio.timeout(30):
            while True:
                async with session.get("/x", headers=gateway.bearer()) as response:
                    if response.status == 200:
                        break
                await asyncio.sleep(0.05)


async def test_the_upstream_is_killed(tmp_path):
    port = free_port()

    async def serve() -> None:
        application = web.Application()
        application.router.add_get("/x", answer)
        nonlocal runner
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({})

    runner: web.AppRunner | None = None
    await serve()
    upstream = f'{{servers: ["http://127.0.0.1:{port}"], timeouts: {{connect: 1s, response: 2s, idle: 2s}}}}'
    async with Gateway(tmp_path, upstream=upstream) as gateway, Load(gateway) as load:
        await load.until(200)
        await runner.cleanup()
        await load.until(502, "upstream-unreachable")
        await serve()
        await load.until(200)
        assert load.longest < LONGEST
        assert {status for status, _ in load.answers} == {200, 502}
    await runner.cleanup()


async def test_a_client_that_is_gone_frees_what_it_held(tmp_path):
    async with Gateway(tmp_path) as gateway:
        for _ in range(20):
            async with gateway.session() as session:
                socket = await session.ws_connect("/socket", headers=gateway.bearer())
                await socket.send_str("a")
                await socket.receive_str()
        async with gateway.session() as session:
            assert (await session.get("/x", headers=gateway.bearer())).status == 200
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
        assert not any("cut" in line for line in gateway.said)
