"""A real nginx as the server behind: pools, content both ways, mTLS, WebSocket's switch, its own idle timeout."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.pki import Authority
from tests.raw_server import RecordingClient, Scene, authorized, certificate, exchange, token
from ztproxy.model import Reason

CONFIGURATION = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  keepalive_timeout {keepalive};
  server {{
    listen unix:{folder}/plain.sock;
    {server}
    root {folder}/www;
    location = /connection {{ return 200 "$connection"; }}
    location = /fields {{ return 200 "$http_host|$http_x_forwarded_for|$http_client_cert|$http_authorization"; }}
    location = /tls {{ return 200 "$ssl_client_verify $ssl_client_s_dn $ssl_protocol"; }}
    location = /moved {{ return 302 /elsewhere; }}
    location = /empty {{ return 204; }}
    location = /put {{ proxy_pass http://unix:{folder}/plain.sock:/taken; }}
    location = /taken {{ return 200 "$content_length"; }}
  }}
}}
"""


@pytest.fixture
def nginx_program() -> str:
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip("needs nginx: apt-get install nginx-light")
    return found


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


@asynccontextmanager
async def running(program: str, folder: Path, port: int, server: str = "", keepalive: str = "75s"):
    """nginx on a port of ours, with a prefix of its own; stopped at the end."""
    (folder / "www").mkdir()
    (folder / "www" / "large").write_bytes(bytes(range(256)) * 32768)
    listen = f"listen 127.0.0.1:{port} {'ssl' if 'ssl_certificate' in server else ''};\n{server}"
    user = "user root;" if os.geteuid() == 0 else ""  # the test's folder is its own user's alone
    text = CONFIGURATION.format(folder=folder, server=listen, keepalive=keepalive, user=user)
    (folder / "nginx.conf").write_text(text)
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.returncode is None, (folder / "error.log").read_text()
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
async def test_plain(scene, nginx_program, tmp_path, port):
    async with running(nginx_program, tmp_path, port):
        upstreams = scene.build(f"http://127.0.0.1:{port}")
        connections = {(await exchange(upstreams, path="/connection")).content for _ in range(5)}
        assert len(connections) == 1
        client = await exchange(upstreams, path="/fields", certificate=None, token=token())
        assert client.content.decode() == f"127.0.0.1:{port}|192.0.2.7||"
        head = await exchange(upstreams, method="HEAD", path="/large")
        assert (head.length, head.content) == (256 * 32768, b"")
        connections = {(await exchange(upstreams, path="/connection")).content}  # HEAD that declares content ends one
        whole = await exchange(upstreams, path="/large")
        assert whole.content == bytes(range(256)) * 32768
        etag = whole.field(b"etag")[0]
        unchanged = await exchange(upstreams, path="/large", fields=((b"if-none-match", etag),))
        assert (unchanged.status, unchanged.content) == (304, b"")
        part = await exchange(upstreams, path="/large", fields=((b"range", b"bytes=0-2"),))
        assert (part.status, part.content) == (206, b"\x00\x01\x02")
        assert (await exchange(upstreams, path="/empty")).status == 204
        moved = await exchange(upstreams, path="/moved")
        assert (moved.status, moved.field(b"location")) == (302, [f"http://127.0.0.1:{port}/elsewhere".encode()])
        assert (await exchange(upstreams, path="/connection")).content in connections


@pytest.mark.slow
@pytest.mark.parametrize("length", [3_000_000, None], ids=["length", "chunked"])
async def test_content_reaches_it(scene, nginx_program, tmp_path, port, length):
    async with running(nginx_program, tmp_path, port):
        upstreams = scene.build(f"http://127.0.0.1:{port}")
        client = RecordingClient()
        forwarded = upstreams.forward(authorized(method="PUT", path="/put", content_length=length), client)
        for _ in range(30):
            await client.until(lambda: not client.paused)
            forwarded.send_body(bytes(100_000))
            await asyncio.sleep(0)
        forwarded.send_end()
        await client.done()
        assert (client.status, client.content) == (200, b"3000000")


@pytest.mark.slow
async def test_mutual_tls(scene, nginx_program, tmp_path, port):
    ca = Authority.new("Backend Root")
    authorities = ca.write(tmp_path)
    server_certificate, server_key = ca.server().write(tmp_path, "server")
    ours, key = ca.issue("ztproxy").write(tmp_path, "ours")
    server = (
        f"ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {server_certificate}; ssl_certificate_key {server_key}; "
        f"ssl_client_certificate {authorities}; ssl_verify_client optional;"
    )
    async with running(nginx_program, tmp_path, port, server):
        url = f"https://localhost:{port}"
        upstreams = scene.build(url, tls={"authorities": [authorities], "certificate": ours, "key": key})
        client = await exchange(upstreams, path="/tls", certificate=certificate(ca.issue("alice")))
        assert client.content == b"SUCCESS CN=ztproxy TLSv1.3"
        assert (await exchange(upstreams, path="/large")).content == bytes(range(256)) * 32768
        plain = await exchange(scene.build(url, tls={"authorities": [authorities]}), path="/tls")
        assert plain.content == b"NONE  TLSv1.3"
        wrong = await exchange(scene.build(url, tls={"authorities": [Authority.new().write(tmp_path, "wrong")]}))
        assert wrong.refusal is not None
        assert wrong.refusal.reason is Reason.UPSTREAM_TLS_FAILED


@pytest.mark.slow
async def test_connections_that_it_closes_are_replaced(scene, nginx_program, tmp_path, port):
    async with running(nginx_program, tmp_path, port, keepalive="1s"):
        upstreams = scene.build(f"http://127.0.0.1:{port}")
        first = await exchange(upstreams, path="/connection")
        async with asyncio.timeout(5):
            while upstreams._pools[0]._idle:
                await asyncio.sleep(0.05)
        second = await exchange(upstreams, b"abc", method="POST", path="/connection", content_length=3)
        assert first.content != second.content
