"""How servers are reached: Unix sockets, addresses, and names whose addresses are raced and used in turn."""

import asyncio
import gc
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Peer, RawServer, RecordingClient, Scene, always, authorized, exchange, settings
from ztproxy.model import Reason
from ztproxy.upstream import Upstreams
from ztproxy.upstream.dialing import AddressDialler, NameDialler, UnixDialler, dialler

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


@pytest.mark.parametrize(
    ("server", "kind", "host"),
    [
        ("http://app.test", NameDialler, b"app.test"),
        ("http://app.test:80", NameDialler, b"app.test"),
        ("https://app.test:80", NameDialler, b"app.test:80"),
        ("http://10.0.0.1:81", AddressDialler, b"10.0.0.1:81"),
        ("http://[::1]:8080", AddressDialler, b"[::1]:8080"),
        ("unix:/run/app.sock", UnixDialler, b"localhost"),
    ],
)
def test_how_a_server_is_reached_and_named(server, kind, host):
    one = dialler(server, 30.0, lambda _: None)
    assert type(one) is kind
    assert one.host == host
    one.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows' asyncio has no Unix sockets")
async def test_a_server_on_a_unix_socket(scene, tmp_path):
    path = tmp_path / "app.sock"
    server = RawServer(always(OK))
    server._listener = await asyncio.start_unix_server(server._serve, path)
    scene._servers.append(server)
    upstreams = scene.build(f"unix:{path}")
    for _ in range(2):
        assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 1
    assert b"\r\nHost: localhost\r\n" in server.heads[0]


async def test_no_server_on_a_unix_socket(scene, tmp_path):
    client = await exchange(scene.build(f"unix:{tmp_path}/nobody.sock"))
    assert client.refusal is not None
    assert client.refusal.reason is Reason.UPSTREAM_UNREACHABLE


def loopback(number: int, port: int):
    return (int(socket.AF_INET), int(socket.SOCK_STREAM), 6, "", (f"127.0.0.{number}", port))


def six(port: int):
    return (int(socket.AF_INET6), int(socket.SOCK_STREAM), 6, "", ("::1", port, 0, 0))


def named(scene: Scene, lookup, **upstream) -> Upstreams:
    async def asked(host, port):
        assert host == "app.test"
        return lookup(port)

    scene._upstreams.append(Upstreams.build(settings("http://app.test:80", **upstream), lookup=asked))
    return scene._upstreams[-1]


async def servers(scene: Scene, count: int) -> tuple[list[RawServer], int]:
    """Servers at several addresses on one port."""
    made = [await scene.start(always(OK))]
    port = made[0].port
    for number in range(2, count + 1):
        server = RawServer(always(OK))
        server._listener = await asyncio.start_server(server._serve, f"127.0.0.{number}", port)
        made.append(server)
        scene._servers.append(server)
    return made, port


async def close_connections(upstreams: Upstreams) -> None:
    for pool in upstreams._pools:
        pool.close_idle()


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has one loopback address")
async def test_a_names_addresses_are_used_in_turn(scene):
    made, port = await servers(scene, 3)
    upstreams = named(scene, lambda _: [loopback(number, port) for number in (1, 2, 3)])
    for _ in range(6):
        assert (await exchange(upstreams)).content == b"ok"
        await close_connections(upstreams)
    assert Counter(len(server.peers) for server in made) == {2: 3}
    assert b"\r\nHost: app.test\r\n" in made[0].heads[0]


async def test_an_address_that_refuses_is_passed_over(scene):
    server = await scene.start(always(OK))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]
        upstreams = named(scene, lambda _: [six(closed), loopback(1, closed), loopback(1, server.port)])
        for _ in range(3):
            assert (await exchange(upstreams)).content == b"ok"
            await close_connections(upstreams)


async def test_an_address_that_does_not_answer_is_raced(scene):
    server = await scene.start(always(OK))
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for filling in (first, second):  # a backlog that is full answers nobody
            filling.setblocking(False)
            filling.connect_ex(listening.getsockname())
        deaf = listening.getsockname()[1]
        upstreams = named(scene, lambda _: [loopback(1, deaf), loopback(1, server.port)], timeouts={"connect": "5s"})
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert (await exchange(upstreams)).content == b"ok"
        assert loop.time() - began < 2


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has one loopback address")
async def test_what_is_connected_to_an_address_that_is_gone_serves_no_further_request(scene):
    made, port = await servers(scene, 2)
    now = [loopback(1, port)]
    upstreams = named(scene, lambda _: list(now), resolve="1ms")
    assert (await exchange(upstreams)).content == b"ok"
    now[:] = [loopback(2, port)]
    await exchange(upstreams)
    pool = upstreams._pools[0]
    pool.dialler.refresh(asyncio.get_running_loop().time() + 1)
    await asyncio.wait_for(made[0].peers[0].closed.wait(), 5)
    await exchange(upstreams)
    assert len(made[1].peers) == 1


async def test_who_leaves_in_the_middle_of_a_handshake_leaves_no_socket(scene):
    async def script(peer: Peer) -> None:
        begun.set()
        await peer.until_closed()

    begun = asyncio.Event()
    server = await scene.start(script)

    async def lookup(_host, _port):
        return [loopback(1, server.port)]

    upstreams = Upstreams.build(settings("https://app.test"), lookup=lookup)
    forwarded = upstreams.forward(authorized(), RecordingClient())
    await asyncio.wait_for(begun.wait(), 5)
    forwarded.abort()
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)
    assert upstreams.view()[0].connections == 0
    await upstreams.close()
    gc.collect()  # a socket left open would be told as a warning


async def test_a_look_up_under_way_is_given_up_at_the_end(scene):
    async def lookup(_host, _port):
        asked.set()
        await asyncio.Event().wait()

    asked = asyncio.Event()
    upstreams = Upstreams.build(settings("http://app.test"), lookup=lookup)
    client = RecordingClient()
    upstreams.forward(authorized(), client).send_end()
    await asyncio.wait_for(asked.wait(), 5)
    await upstreams.close()
    assert (await client.done()).refusal is not None
    assert asyncio.all_tasks() == {asyncio.current_task()}
