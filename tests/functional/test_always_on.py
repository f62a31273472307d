"""Workers that die, configurations that change, processes that end, and clients that notice nothing of it."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import aiohttp
import pytest

from tests.functional.gateway import Gateway
from tests.functional.ports import free_port
from tests.pki import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="needs sockets that are handed on to processes"),
]
ALLOW = "package ztproxy.authz\n\ndecision := true\n"
DENY = "package ztproxy.authz\n\ndecision := false\n"


def workers_of(gateway: Gateway) -> list[int]:
    """The processes that serve."""
    return gateway.workers()


async def until_said(gateway: Gateway, start: str, holding: str = "") -> str:
    """The next line that starts so, and holds this."""
    async with asyncio.timeout(30):
        while not (line := await gateway.line()).startswith(start) or holding not in line:
            pass
    return line


async def command(gateway: Gateway, *words: str) -> tuple[int, str, str]:
    """A command about this gateway: its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ztproxy", *words, "--config", str(gateway.folder / "z.yaml"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def rego(gateway: Gateway, text: str) -> None:
    (gateway.folder / "policies" / "authz.rego").write_text(text)


def configure(gateway: Gateway, old: str, new: str) -> None:
    path = gateway.folder / "z.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


class Load:
    """Clients that ask on, some over connections that they keep, some over a new one each time."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.statuses: list[int] = []
        self.failures: list[BaseException] = []
        self._stop = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._ask(fresh=number == 0)) for number in range(4)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _ask(self, *, fresh: bool) -> None:
        headers = self.gateway.bearer() | ({"Connection": "close"} if fresh else {})
        async with self.gateway.session() as session:
            while not self._stop:
                try:
                    async with session.get("/x", headers=headers) as answer:
                        await answer.read()
                        self.statuses.append(answer.status)
                except (aiohttp.ClientError, OSError, TimeoutError) as wrong:
                    self.failures.append(wrong)


async def test_a_worker_that_dies_takes_its_own_requests_with_it_and_is_started_again(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW, more="workers: 2") as gateway:
        first, second = workers_of(gateway)
        async with gateway.session() as session:
            async with session.get("/x", headers=gateway.bearer()) as answer:
                assert answer.status == 200
            os.kill(first, signal.SIGKILL)
            os.kill(second, signal.SIGSTOP)
            # Whoever connects now waits in the queue of the socket, which the supervisor keeps open.
            async with gateway.session() as another:
                asked = asyncio.create_task(another.get("/x", headers=gateway.bearer()))
                assert "was ended by signal 9" in await until_said(gateway, "worker ")
                async with await asyncio.wait_for(asked, 30) as answer:
                    assert answer.status == 200
            os.kill(second, signal.SIGCONT)
        assert second in workers_of(gateway)
        assert first not in workers_of(gateway)
        assert len(workers_of(gateway)) == 2


async def test_a_worker_that_is_started_again_decides_as_the_others_do(tmp_path):
    """The policy on disk may be half a copy: it is not taken up because somebody died."""
    async with Gateway(tmp_path, rego=ALLOW, more="workers: 2") as gateway:
        rego(gateway, DENY)
        os.kill(workers_of(gateway)[0], signal.SIGKILL)
        await until_said(gateway, "worker 1 ", "the policy on disk is not the one that serves")
        assert await ask_anew(gateway, 3) == {200}
        rego(gateway, ALLOW)
        async with asyncio.timeout(30):
            while len(workers_of(gateway)) < 2:
                await asyncio.sleep(0.05)
        assert await ask_anew(gateway, 3) == {200}


async def test_workers_import_nothing_from_the_folder_they_are_started_in(tmp_path, monkeypatch):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "httptools.py").write_text("raise SystemExit('imported')\n")  # which workers alone import
    monkeypatch.chdir(tmp_path / "evil")
    async with Gateway(tmp_path, rego=ALLOW) as gateway:
        assert await ask_anew(gateway, 1) == {200}


async def test_reloads_under_load_fail_no_request(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW, more="workers: 2") as gateway:
        async with Load(gateway) as load:
            for number in range(4):
                rego(gateway, ALLOW + f"# {number}\n")
                gateway.signal(signal.SIGHUP)
                await until_said(gateway, f"reloaded (signal): generation {number + 2}")
                answered = len(load.statuses)
                while len(load.statuses) < answered + 10 and not load.failures:
                    await asyncio.sleep(0.01)
        assert not load.failures
        assert set(load.statuses) == {200}


async def test_all_workers_take_up_a_policy_and_a_wrong_one_none(tmp_path):
    more = f"workers: 2\nadmin: {{address: 'unix:{tmp_path}/admin.sock'}}"
    async with Gateway(tmp_path, rego=ALLOW, more=more) as gateway:
        rego(gateway, "package ztproxy.authz\n\ndecision := x\n")
        code, _, err = await command(gateway, "reload")
        assert code == 1
        assert "authz.rego:3:13: var x is unsafe" in err
        configure(gateway, "version: 1", "version: 1\nnonsense: true")
        code, _, err = await command(gateway, "reload")
        assert code == 1
        assert "z.yaml:2:1: unknown key `nonsense`" in err
        configure(gateway, "nonsense: true\n", "")
        configure(gateway, "workers: 2", "workers: 3")
        code, _, err = await command(gateway, "reload")
        assert code == 1
        assert re.search(r"z\.yaml:\d+:1: `workers`: a reload cannot change it; restart the proxy", err)
        configure(gateway, "workers: 3", "workers: 2")
        assert await ask_anew(gateway, 8) == {200}
        _, out, _ = await command(gateway, "status", "--json")
        assert '"failed":3' in out
        rego(gateway, DENY)
        assert await ask_anew(gateway, 8) == {200}  # nothing changes because files did
        code, out, _ = await command(gateway, "reload")
        assert (code, out.startswith("reloaded: generation 2")) == (0, True)
        assert await ask_anew(gateway, 8) == {403}


async def ask_anew(gateway: Gateway, times: int) -> set[int]:
    """What requests over connections of their own are answered with: they come to all workers."""
    statuses = set()
    for _ in range(times):
        async with gateway.session() as session, session.get("/x", headers=gateway.bearer()) as answer:
            statuses.add(answer.status)
    return statuses


async def test_open_connections_take_up_what_changed_and_streams_go_on(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW) as gateway, gateway.session() as session:
        async with session.ws_connect("/socket", headers=gateway.bearer()) as stream:
            await stream.send_str("before")
            assert await stream.receive_str() == "echo before"
            async with session.get("/x", headers=gateway.bearer()) as answer:
                assert answer.status == 200
            rego(gateway, DENY)
            gateway.signal(signal.SIGHUP)
            await until_said(gateway, "reloaded")
            async with session.get("/x", headers=gateway.bearer()) as answer:
                assert answer.status == 403
            await stream.send_str("after")
            assert await stream.receive_str() == "echo after"


async def test_how_full_buckets_are_survives_a_reload(tmp_path):
    limits = "{rules: [{key: token.subject, rate: 1/hour, burst: 2}]}"
    async with Gateway(tmp_path, rego=ALLOW, limits=limits) as gateway, gateway.session() as session:

        async def status() -> int:
            async with session.get("/x", headers=gateway.bearer()) as answer:
                return answer.status

        assert [await status(), await status(), await status()] == [200, 200, 429]
        gateway.signal(signal.SIGHUP)
        await until_said(gateway, "reloaded")
        assert await status() == 429


async def test_an_issuer_that_is_away_keeps_no_reload_from_serving(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW) as gateway, gateway.session() as session:
        async with session.get("/x", headers=gateway.bearer()) as answer:
            assert answer.status == 200
        await gateway.stop_issuer()
        (tmp_path / "var" / "keys").chmod(0o700)
        for saved in (tmp_path / "var" / "keys").iterdir():
            saved.unlink()
        gateway.signal(signal.SIGHUP)
        await until_said(gateway, "reloaded")
        async with session.get("/x", headers=gateway.bearer()) as answer:
            assert answer.status == 200


async def test_listeners_come_and_go(tmp_path):
    port = free_port()
    async with Gateway(tmp_path, rego=ALLOW, more="workers: 2") as gateway, aiohttp.ClientSession() as plain:
        configure(gateway, "listeners:\n", f"listeners:\n  - {{address: '127.0.0.1:{port}', protocol: http}}\n")
        with socket.create_server(("127.0.0.1", port)):
            gateway.signal(signal.SIGHUP)
            assert f"cannot listen on 127.0.0.1:{port}" in await until_said(gateway, "reload (signal) failed")
        gateway.signal(signal.SIGHUP)
        await until_said(gateway, "reloaded")
        async with plain.get(f"http://127.0.0.1:{port}/x") as answer:
            assert answer.status == 404
        configure(gateway, f"  - {{address: '127.0.0.1:{port}', protocol: http}}\n", "")
        gateway.signal(signal.SIGHUP)
        await until_said(gateway, "reloaded")
        with pytest.raises(aiohttp.ClientError):
            await plain.get(f"http://127.0.0.1:{port}/x")
        assert await ask_anew(gateway, 2) == {200}


async def test_a_drain_ends_what_runs_and_says_close(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW, more="workers: 2") as gateway, gateway.session() as session:
        sending = asyncio.Event()

        async def body():
            yield b"begun "
            await sending.wait()
            yield b"and ended"

        running = asyncio.create_task(session.put("/x", data=body(), headers=gateway.bearer()))
        await asyncio.wait_for(gateway.begun.wait(), 10)
        gateway.signal(signal.SIGTERM)
        await until_said(gateway, "draining")
        sending.set()
        async with await running as answer:
            assert answer.status == 200
            assert answer.headers["Connection"] == "close"
            assert (await answer.json())["body"] == "begun and ended"
        assert await gateway.ended() == 0
        assert "cut" not in "".join(gateway.said)


async def test_a_drain_is_bounded_and_a_second_signal_ends_it(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW, more="drain: 1h") as gateway, gateway.session() as session:

        async def body():
            yield b"begun "
            await asyncio.Event().wait()

        running = asyncio.create_task(session.put("/x", data=body(), headers=gateway.bearer()))
        await asyncio.wait_for(gateway.begun.wait(), 10)
        gateway.signal(signal.SIGTERM)
        await until_said(gateway, "draining for at most 3600 s")
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
        assert "ended with 1 connections cut" in "".join(gateway.said)
        with pytest.raises((aiohttp.ClientError, OSError)):
            await running


async def test_workers_end_when_their_supervisor_is_gone(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW, more="workers: 2") as gateway:
        orphans = workers_of(gateway)
        gateway.signal(signal.SIGKILL)
        async with asyncio.timeout(20):
            while any(_lives(pid) for pid in orphans):
                await asyncio.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_the_service_manager_is_told(tmp_path, monkeypatch):
    """Over an abstract socket, as systemd's often is."""
    name = f"ztproxy-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        monkeypatch.setenv("WATCHDOG_USEC", "300000")

        async def told(what: str) -> str:
            async with asyncio.timeout(20):
                while what not in (text := (await asyncio.get_running_loop().sock_recv(manager, 4096)).decode()):
                    pass
            return text

        async with Gateway(tmp_path, rego=ALLOW) as gateway:
            assert "STATUS=1 of 1 workers, generation 1" in await told("READY=1")
            await told("WATCHDOG=1")
            gateway.signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in await told("RELOADING=1")
            assert "generation 2" in await told("READY=1")
            gateway.signal(signal.SIGTERM)
            await told("STOPPING=1")
            assert await gateway.ended() == 0


async def test_the_watchdog_hears_nothing_while_no_worker_answers(tmp_path, monkeypatch):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        async with Gateway(tmp_path, rego=ALLOW) as gateway:
            (worker,) = workers_of(gateway)
            os.kill(worker, signal.SIGSTOP)
            await asyncio.sleep(0.5)
            with contextlib.suppress(BlockingIOError):
                while manager.recv(4096):
                    pass
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.get_running_loop().sock_recv(manager, 4096), 1.0)
            os.kill(worker, signal.SIGCONT)


async def test_sockets_that_were_handed_over_are_listened_on(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as handed:
        port = handed.getsockname()[1]
        gateway = Gateway(tmp_path, rego=ALLOW, handed=str(handed.fileno()), address=f"127.0.0.1:{port}")
        async with gateway:
            assert gateway.port == port
            assert await ask_anew(gateway, 2) == {200}


async def test_health_is_told_to_whoever_asks_and_nothing_else(tmp_path):
    port = free_port()
    more = f"workers: 2\nhealth: {{address: '127.0.0.1:{port}'}}"
    async with Gateway(tmp_path, rego=ALLOW, more=more) as gateway, aiohttp.ClientSession() as monitor:
        url = f"http://127.0.0.1:{port}"

        async def status(method: str, path: str) -> int:
            async with monitor.request(method, url + path) as answer:
                return answer.status

        assert await ask_anew(gateway, 4) == {200}
        assert await status("GET", "/livez") == await status("HEAD", "/livez") == 200
        async with asyncio.timeout(10):
            while await status("GET", "/readyz") != 200:  # keys are fetched without anybody waiting
                await asyncio.sleep(0.05)
        async with monitor.get(url + "/metrics") as answer:
            assert 'ztproxy_workers{state="ready"} 2.0' in (page := await answer.text())
            assert _requests(page) == 4
        for method, path in (("POST", "/livez"), ("POST", "/reload"), ("GET", "/status"), ("GET", "/"), ("PUT", "/x")):
            assert await status(method, path) in {404, 405}
        before = workers_of(gateway)
        os.kill(before[0], signal.SIGKILL)
        await until_said(gateway, "worker 1 is started again")
        async with monitor.get(url + "/metrics") as answer:
            assert _requests(await answer.text()) == 4  # what the dead one had counted is not forgotten
        os.kill(before[1], signal.SIGSTOP)
        async with asyncio.timeout(10):
            while await status("GET", "/readyz") != 503:  # the answer of a moment ago is given again
                await asyncio.sleep(0.05)
        async with monitor.get(url + "/readyz") as answer:
            assert "worker 2 does not answer" in await answer.text()
        assert await status("GET", "/livez") == 200
        os.kill(before[1], signal.SIGCONT)


def _requests(page: str) -> float:
    return sum(
        float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith("ztproxy_requests_total{")
    )


async def test_not_ready_while_an_issuers_keys_were_never_fetched(tmp_path):
    port = free_port()
    more = f"health: {{address: '127.0.0.1:{port}'}}"
    async with Gateway(tmp_path, start_issuer="no", more=more), aiohttp.ClientSession() as monitor:
        async with monitor.get(f"http://127.0.0.1:{port}/readyz") as answer:
            assert answer.status == 503
            assert "no usable keys" in await answer.text()


async def test_the_admin_socket_answers_its_own_user_only(tmp_path):
    with tempfile.TemporaryDirectory() as reachable:
        Path(reachable).chmod(0o755)
        await asked_by_others(tmp_path, Path(reachable) / "admin.sock")


async def asked_by_others(tmp_path, path):
    async with Gateway(tmp_path, rego=ALLOW, more=f"admin: {{address: 'unix:{path}'}}") as gateway:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        code, out, _ = await command(gateway, "status")
        assert (code, "ready" in out) == (0, True)
        if os.geteuid() == 0:
            path.chmod(0o666)  # so that the kernel's word alone is left
            assert b" 403 " in await asyncio.to_thread(asked_as_nobody, str(path))
        assert await gateway.stop(signal.SIGTERM) == 0
        assert not path.exists()


def asked_as_nobody(path: str) -> bytes:
    """What another user of the machine is answered."""
    import subprocess

    script = (
        "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
        "s.sendall(b'GET /status HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
        "sys.stdout.buffer.write(s.recv(4096))"
    )
    return subprocess.run(
        ["/usr/bin/env", "python3", "-c", script, path], user=65534, group=65534, capture_output=True, check=True
    ).stdout


async def test_the_admin_socket_over_tcp_wants_its_token_and_its_host(tmp_path, monkeypatch):
    port = free_port()
    monkeypatch.setenv("ADMIN_TOKEN", "correct horse")
    more = f"admin: {{address: '127.0.0.1:{port}', token: {{env: ADMIN_TOKEN}}}}"
    async with Gateway(tmp_path, rego=ALLOW, more=more) as gateway, aiohttp.ClientSession() as client:

        async def status(**headers: str) -> int:
            async with client.post(f"http://127.0.0.1:{port}/reload", headers=headers) as answer:
                return answer.status

        right = {"Authorization": "Bearer correct horse"}
        assert await status() == 403
        assert await status(Authorization="Bearer wrong") == 403
        assert await status(**right, Host="evil.example") == 403
        assert await status(**right, Host=f"localhost:{port}") == 403
        assert await status(**right, Origin="http://evil.example") == 403
        assert await status(**right) == 200
        code, _, _ = await command(gateway, "reload")
        assert code == 0


async def test_an_authority_that_is_removed_ends_what_it_vouched_for(tmp_path):
    """Connections that its certificates opened are refused with their next request, whatever their route names."""
    old = Authority.new("Old Root")
    old.write(tmp_path, "old")
    mallory = old.issue("mallory")
    gateway = Gateway(tmp_path, rego=ALLOW, require="[]\n    authorities: [ca.pem, old.pem]")
    gateway.options["authorities"] = "[ca.pem, old.pem]"
    async with gateway, gateway.session(mallory) as hers, gateway.session() as ours:
        for session in (hers, ours):
            async with session.get("/x", headers=gateway.bearer()) as answer:
                assert answer.status == 200
        configure(gateway, "{authorities: [ca.pem, old.pem]", "{authorities: [ca.pem]")
        configure(gateway, "    authorities: [ca.pem, old.pem]\n", "")
        gateway.signal(signal.SIGHUP)
        await until_said(gateway, "reloaded")
        async with hers.get("/x", headers=gateway.bearer()) as answer:
            assert answer.status == 403
            assert (await answer.json())["reason"] == "certificate-untrusted-here"
            assert answer.headers["Connection"] == "close"
        async with ours.get("/x", headers=gateway.bearer()) as answer:
            assert answer.status == 200


async def test_where_sockets_cannot_be_handed_on_one_process_does_it_all(tmp_path):
    """As on Windows."""
    without = "import socket; del socket.send_fds"
    async with Gateway(tmp_path, rego=ALLOW, before=without) as gateway:
        assert workers_of(gateway) == []
        assert await ask_anew(gateway, 2) == {200}
        assert await gateway.stop(signal.SIGTERM) == 0
        configure(gateway, "version: 1", "version: 1\nworkers: 2")
        start = f"{without}; from ztproxy.cli.main import main; raise SystemExit(main())"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", start, "run", "--config", str(tmp_path / "z.yaml"), stderr=asyncio.subprocess.PIPE
        )
        _, err = await process.communicate()
        assert (process.returncode, b"several `workers` need sockets" in err) == (2, True)
