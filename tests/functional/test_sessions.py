"""Sessions in the real program: two workers that share a file, what operators see and end, what nobody ever sees."""

import asyncio
import json
import sys
import time

import aiohttp
import pytest

from tests.functional.gateway import Gateway
from ztproxy.config.sessions import Sessions as Settings
from ztproxy.identity.issuers.kept import Clock
from ztproxy.identity.sessions import cookie
from ztproxy.identity.sessions.service import Sessions
from ztproxy.identity.sessions.session import Session
from ztproxy.store.records_sqlite import SqliteRecords
from ztproxy.store.ring import load_or_create
from ztproxy.store.shared_records import SharedRecords

pytestmark = pytest.mark.slow

NAME = cookie.NAME.decode()
MORE = """\
workers: 2
admin: {address: "unix:FOLDER/admin.sock"}
sessions: {storage: "sqlite:var/sessions.db"}
login: [{issuer: "ISSUER", client_id: web, client_authentication: none}]
"""


class Browsers:
    """Begins sessions as a login would, in the program's own storage."""

    def __init__(self, gateway):
        self.gateway = gateway
        state = gateway.folder / "var"
        self.sessions = Sessions(
            SharedRecords(SqliteRecords(state / "sessions.db")),
            load_or_create(state / "session.keys", create=False),
            Settings(),
            {gateway.issuer.issuer: "web"},
            Clock(wall=time.time, monotonic=time.monotonic),
        )

    async def login(self, subject="alice"):
        now = time.time()
        session = Session(
            *(self.gateway.issuer.issuer, "web", subject, {"sub": subject, "groups": ["staff"]}, ("web",), "localhost"),
            *("app", now, now, now + 3600, "the.id.token"),
            display=subject.title(),
        )
        fields = await self.sessions.begin(session, None, now)
        return fields[0][1].decode().partition(";")[0].partition("=")[2]


@pytest.fixture
async def gateway(tmp_path):
    options = {
        "more": MORE.replace("FOLDER", str(tmp_path)),
        "require": "[token]",
        "route": '    login: "ISSUER"',
    }
    async with Gateway(tmp_path, **options) as gateway:
        yield gateway


@pytest.fixture
async def browsers(gateway):
    browsers = Browsers(gateway)
    yield browsers
    await browsers.sessions.close()


async def asked(gateway, value, path="/page", **more):
    """The status of a request over a connection of its own, so that either worker may have it."""
    async with (
        gateway.session(None) as client,
        client.get(path, headers={"Cookie": f"a=b; {NAME}={value}"}, **more) as answer,
    ):
        return answer.status


async def command(gateway, *words):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ztproxy", "sessions", *words, "--config", str(gateway.folder / "z.yaml")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    return process.returncode, out.decode(), error.decode()


async def test_operators_see_sessions_and_end_them_in_all_workers_at_once(gateway, browsers):
    values = [await browsers.login(subject) for subject in ("alice", "bob", "bob", "carol")]
    for value in values:
        assert [await asked(gateway, value) for _ in range(6)] == [200] * 6
    code, out, _ = await command(gateway, "list", "--json")
    lines = {line["name"]: line for line in json.loads(out)}
    assert code == 0
    assert sorted(line["subject"] for line in lines.values()) == ["alice", "bob", "bob", "carol"]
    assert not any(value in out for value in values)
    _, out, _ = await command(gateway, "list", "--subject", "alice")
    (name,) = [name for name, line in lines.items() if line["subject"] == "alice"]
    assert [line.split()[:4] for line in out.splitlines()[1:]] == [[name, "alice", "Alice", "localhost"]]

    assert (await command(gateway, "revoke", name))[:2] == (0, "1 session ended\n")
    assert [await asked(gateway, values[0]) for _ in range(8)] == [401] * 8
    assert (await command(gateway, "revoke", name))[:2] == (1, "0 sessions ended\n")
    assert (await command(gateway, "revoke", "--subject", "bob"))[:2] == (0, "2 sessions ended\n")
    assert [await asked(gateway, value) for value in values[1:]] == [401, 401, 200]
    assert (await command(gateway, "revoke", "--all"))[:2] == (0, "1 session ended\n")
    assert await asked(gateway, values[3]) == 401
    assert (await command(gateway, "revoke"))[0] == 2


async def test_sessions_outlive_a_restart_and_a_rotated_ring(gateway, browsers):
    value = await browsers.login()
    assert await asked(gateway, value) == 200
    await gateway.stop(15)
    code, out, error = await command(gateway, "rotate")
    assert (code, error) == (0, "")
    assert "2 in all" in out
    await gateway.start()
    assert await asked(gateway, value) == 200


async def test_a_websocket_ends_with_its_session(gateway, browsers):
    value = await browsers.login()
    headers = {"Cookie": f"{NAME}={value}", "Origin": f"https://localhost:{gateway.port}"}
    async with gateway.session(None) as client, client.ws_connect("/socket", headers=headers) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "echo hello"
        code, *_ = await command(gateway, "revoke", "--all")
        assert code == 0
        async with asyncio.timeout(20):
            ended = await socket.receive()
        assert ended.type is aiohttp.WSMsgType.CLOSE
        assert ended.data == 1008
    async with gateway.session(None) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/socket", headers=headers)
        assert refused.value.status == 401


async def test_what_stands_for_a_session_is_seen_by_nobody(gateway, browsers):
    value = await browsers.login()
    assert await asked(gateway, value, "/page") == 200
    async with gateway.session(None) as client, client.post("/page", headers={"Cookie": f"{NAME}={value}"}) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (403, "cross-site-refused")
    _, listed, _ = await command(gateway, "list", "--json")
    (name,) = [line["name"] for line in json.loads(listed)]
    status = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ztproxy", "status", "--json", "--config", str(gateway.folder / "z.yaml")),
        stdout=asyncio.subprocess.PIPE,
    )
    shown, _ = await status.communicate()
    reader = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(gateway.folder / "admin.sock")))
    async with reader, reader.get("http://localhost/metrics") as answer:
        metrics = await answer.text()
    await gateway.stop(15)  # logs are whole
    upstream = json.dumps(gateway.seen)
    assert "/page" in upstream
    assert '"Cookie": "a=b"' in upstream
    identifier = cookie.value_of(((cookie.NAME, value.encode()),))
    files = [path for path in gateway.folder.rglob("*") if path.is_file()]
    everything = {str(path): path.read_bytes() for path in files} | {
        "status": shown,
        "metrics": metrics.encode(),
        "upstream": upstream.encode(),
        "list": listed.encode(),
        "said": "".join(gateway.said).encode(),
    }
    assert len(everything) > 10
    for where, content in everything.items():
        for secret in (value.encode(), identifier, identifier.hex().encode(), b"the.id.token"):
            assert secret not in content, where
    assert b"ztproxy_sessions " in everything["metrics"]
    assert name.encode() not in everything["metrics"]


async def test_a_storage_that_is_full_or_wrong_is_said_at_the_start(tmp_path, gateway):
    await gateway.stop(15)
    (tmp_path / "var/session.keys").chmod(0o644)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ztproxy", "run", "--config", str(tmp_path / "z.yaml")),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"session.keys: is open to others" in said
