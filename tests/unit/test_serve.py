"""Generations that follow one another in one process."""

import asyncio
import socket
import ssl
import weakref

import aiohttp
import pytest

from tests import pki
from tests.listening import until
from ztproxy.config.loading import parse
from ztproxy.generation import Generation
from ztproxy.parts import StartError
from ztproxy.serve import Server

ROOT = pki.Authority.new("Root")
CONFIGURATION = """\
version: 1
listeners:
  - address: 127.0.0.1:0
    certificates: [{certificate: gateway.pem, key: gateway.key}]
policy: {path: policies}
limits: {rules: [{key: source.address, rate: 1/hour, burst: 2}]}
logs: {access: access.log, decisions: decisions.db}
routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]
"""


@pytest.fixture
async def server(tmp_path):
    ROOT.write(tmp_path)
    ROOT.server().write(tmp_path, "gateway")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := false\n")
    made = await Server.start(settings(tmp_path))
    yield made
    await made.close()


def settings(folder, old="", new=""):
    assert old in CONFIGURATION
    return parse(CONFIGURATION.replace(old, new), folder / "z.yaml")


def sockets_of(server, *more):
    """What a supervisor would send along: a copy of each listening socket."""
    kept = {listener.name: listener._socket.dup() for listener in server.listeners}
    return kept | {address: socket.create_server(("127.0.0.1", 0)) for address in more}


async def reloaded(server, to, *more, **options):
    generation = await Generation.prepare(to, server.serving, **options)
    await server.commit(generation, sockets_of(server, *more))
    return generation


def url(server, scheme="https"):
    return f"{scheme}://localhost:{server.listeners[0].port}/x"


async def status(server, tmp_path, session=None):
    context = pki.client_context(ROOT, None, tmp_path)
    async with aiohttp.ClientSession() as one:
        async with (session or one).get(url(server), ssl=context) as answer:
            return answer.status


@pytest.mark.interpreted
async def test_what_was_replaced_is_given_back_without_waiting_for_the_collector(server, tmp_path):
    old = server.serving
    traces = [weakref.ref(one) for one in (old.contexts["127.0.0.1:0"].default, old.parts.engine, old.parts.identity)]
    del old
    await reloaded(server, settings(tmp_path))
    await until(lambda: [trace() for trace in traces] == [None, None, None])
    assert server.retired == 0
    assert await status(server, tmp_path) == 403


async def test_buckets_stay_as_full_as_they_are(server, tmp_path):
    assert [await status(server, tmp_path) for _ in range(3)] == [403, 403, 429]
    await reloaded(server, settings(tmp_path))
    assert await status(server, tmp_path) == 429
    await reloaded(server, settings(tmp_path, "burst: 2", "burst: 3"))
    assert await status(server, tmp_path) == 403  # another rule, so another bucket


async def test_a_generation_that_cannot_be_made_leaves_nothing_behind(server, tmp_path):
    (tmp_path / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := x\n")
    before = server.serving
    with pytest.raises(StartError, match=r"authz\.rego:3:13"):
        await Generation.prepare(settings(tmp_path), before)
    assert server.serving is before
    assert await status(server, tmp_path) == 403


async def test_one_that_was_only_prepared_is_closed_and_what_serves_is_not(server, tmp_path):
    made = await Generation.prepare(settings(tmp_path), server.serving, keep_policy=True)
    assert made.parts.engine is server.parts.engine
    assert made.access is server.serving.access
    await made.close([server.serving])
    assert await status(server, tmp_path) == 403


async def test_a_kept_policy_outlives_the_generation_that_loaded_it(server, tmp_path):
    engine = server.parts.engine
    await reloaded(server, settings(tmp_path), keep_policy=True)
    await until(lambda: not server.retired)
    assert server.parts.engine is engine
    assert await status(server, tmp_path) == 403
    await reloaded(server, settings(tmp_path))
    await until(lambda: not server.retired)
    assert server.parts.engine is not engine
    assert await status(server, tmp_path) == 403


async def test_a_listener_that_changes_its_protocol_is_another_one(server, tmp_path):
    plain = settings(tmp_path, "certificates: [{certificate: gateway.pem, key: gateway.key}]", "protocol: http")
    context = pki.client_context(ROOT, None, tmp_path)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        assert await status(server, tmp_path, session) == 403
        await reloaded(server, plain)
        async with session.get(url(server, "http")) as answer:
            assert answer.status == 403
        await until(lambda: not server.retired)  # the idle connection over TLS was closed
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await status(server, tmp_path, session)


async def test_logs_that_moved_are_written_where_they_are_now(server, tmp_path):
    assert await status(server, tmp_path) == 403
    await reloaded(server, settings(tmp_path, "access: access.log", "access: another.log"))
    assert await status(server, tmp_path) == 403
    await until(lambda: not server.retired)
    await asyncio.to_thread(server.serving.access.close)
    assert [len((tmp_path / name).read_text().splitlines()) for name in ("access.log", "another.log")] == [1, 1]


async def test_what_the_process_has_taken_on_is_counted_on_under_the_same_bounds(server, tmp_path):
    load = server.parts.load
    await reloaded(server, settings(tmp_path))
    await until(lambda: not server.retired)
    assert server.parts.load is load
    assert load._timer is not None
    await reloaded(server, settings(tmp_path, "version: 1", "version: 1\noverload: {requests: 7}"))
    await until(lambda: not server.retired)
    assert server.parts.load.limit == 7
    assert load._timer is None
