"""The real program among workloads: identities that rotate under it, an agent that dies or lies, and its sidecars."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.gateway import Gateway
from tests.functional.ports import free_port
from tests.functional.test_always_on import ALLOW, command, configure, until_said
from tests.pki import Authority, client_context
from tests.workloads import BOTH, Domain, WorkloadApi

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="needs sockets that are handed on to processes"),
]


class Mesh(Gateway):
    """A gateway with an SVID, from an agent or from files; two workers."""

    def __init__(self, folder: Path, domain: Domain, section: str, **options: str) -> None:
        self.domain = domain
        options = {
            "crl": f", trust_domains: [{domain.name}]",
            "authorities": "[]",
            "mode": "required",
            "listener": "    svid: true",
            "require": "[certificate]",
            "route": f'    spiffe_ids: ["spiffe://{domain.name}/**"]',
            "rego": ALLOW,
            "more": f'workers: 2\nadmin: {{address: "unix:{folder}/admin.sock"}}\nspiffe: {section}',
            **options,
        }
        super().__init__(folder, domain.authority, domain.svid("/web"), **options)

    async def connection(self, leaf=None, trust=None) -> "Kept":
        """A connection that is kept."""
        context = client_context(trust or self.ca, leaf or self.client, self.folder)
        # by its address: no server name is sent, and the default is shown
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname="127.0.0.1")
        return Kept(reader, writer)


class Kept:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @property
    def shown(self) -> bytes:
        """What the gateway showed."""
        return self.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)

    async def ask(self) -> tuple[int, bytes]:
        async with asyncio.timeout(20):
            self.writer.write(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            return int(head.split()[1]), await self.reader.readexactly(length)

    async def ended(self) -> bool:
        async with asyncio.timeout(20):
            return await self.reader.read() == b""

    def close(self) -> None:
        self.writer.close()


def ours(domain, authority=None, path="/gateway"):
    issuing = domain.authority if authority is None else authority
    return issuing.issue(None, uri=[domain.id(path)], ip=["127.0.0.1"], eku=BOTH)


@pytest.fixture
def domain():
    return Domain("prod.example")


@pytest.fixture
def agent(tmp_path, domain):
    made = WorkloadApi(tmp_path / "agent.sock")
    made.hands_out(domain, ours(domain))
    made.start()
    yield made
    made.stop()


def section(agent, **more):
    return json.dumps({"trust_domain": "prod.example", "workload_api": f"unix:{agent.path}"} | more)


async def test_identities_rotate_in_all_workers_and_no_connection_is_dropped(tmp_path, domain, agent):
    async with Mesh(tmp_path, domain, section(agent)) as mesh:
        kept = [await mesh.connection() for _ in range(4)]  # on both workers, most likely
        assert {(await one.ask())[0] for one in kept} == {200}

        renewed = ours(domain)
        agent.hands_out(domain, renewed)
        await until_said(mesh, "spiffe: spiffe://prod.example/gateway until")
        assert {(await one.ask())[0] for one in kept} == {200}
        fresh = [await mesh.connection() for _ in range(8)]
        assert {one.shown for one in fresh} == {renewed.der}
        assert {(await one.ask())[0] for one in fresh} == {200}

        # another authority beside the first: both count
        second = Authority.new("The next authority of prod.example")
        agent.hands_out(domain, ours(domain, second), authorities=(domain.authority, second))
        await until_said(mesh, "spiffe: spiffe://prod.example/gateway until")
        newcomer = second.issue(None, uri=[domain.id("/web")], eku=BOTH)
        new = [await mesh.connection(newcomer, second) for _ in range(4)]
        assert {(await one.ask())[0] for one in (*kept, *fresh, *new)} == {200}

        # the first one's time is over: what rests on it ends with its next request, what rests on the other goes on
        agent.hands_out(domain, ours(domain, second), authorities=(second,))
        await until_said(mesh, "spiffe: spiffe://prod.example/gateway until")
        for one in kept:
            status, body = await one.ask()
            assert (status, json.loads(body)["reason"]) == (403, "certificate-untrusted-here")
            assert await one.ended()
        assert {(await one.ask())[0] for one in new} == {200}
        for one in (*kept, *fresh, *new):
            one.close()


async def test_an_agent_that_dies_or_lies_changes_nothing(tmp_path, domain, agent):
    async with Mesh(tmp_path, domain, section(agent)) as mesh:
        kept = await mesh.connection()
        agent.bundle = b""
        agent.tell()
        await until_said(mesh, "spiffe: ", "what was known before stays in use")
        assert (await kept.ask())[0] == 200
        agent.stop()
        new = await mesh.connection()
        assert (await new.ask())[0] == 200
        code, out, _ = await command(mesh, "status")
        assert code == 1
        assert "workload identity: what was known before is still in use" in out
        assert "spiffe://prod.example/gateway" in out
        # a worker that dies is started again with what is known, agent or not
        os.kill(mesh.workers()[0], 9)
        await until_said(mesh, "worker 1 is started again")
        while len(mesh.workers()) < 2:
            await asyncio.sleep(0.02)
        code, _, err = await command(mesh, "reload")
        assert (code, err) == (0, err)
        again = await mesh.connection()
        assert (await again.ask())[0] == 200
        for one in (kept, new, again):
            one.close()


async def test_files_that_are_renewed_are_taken_up_whatever_the_configuration_has_become(tmp_path, domain):
    folder = tmp_path / "identity"
    folder.mkdir()
    domain.write_svid(folder, "/gateway", ip=["127.0.0.1"])
    domain.write_bundle(folder)
    said = {
        "trust_domain": "prod.example",
        "svid": {"certificate": "identity/svid.pem", "key": "identity/svid.key"},
        "bundle": "identity/prod.example.json",
        "interval": "100ms",
    }
    async with Mesh(tmp_path, domain, json.dumps(said)) as mesh:
        kept = await mesh.connection()
        assert (await kept.ask())[0] == 200
        configure(mesh, "version: 1", "version: 1\nnonsense: true")
        renewed = domain.write_svid(folder, "/gateway", ip=["127.0.0.1"])
        await until_said(mesh, "spiffe: spiffe://prod.example/gateway until")
        fresh = await mesh.connection()
        assert fresh.shown == renewed.der
        assert ((await kept.ask())[0], (await fresh.ask())[0]) == (200, 200)
        (folder / "svid.pem").write_bytes(b"half a cert")
        await until_said(mesh, "spiffe: what was known before stays in use")
        assert (await kept.ask())[0] == 200
        kept.close()
        fresh.close()


async def test_without_an_identity_it_does_not_start(tmp_path, domain):
    said = {"trust_domain": "prod.example", "workload_api": f"unix:{tmp_path}/nobody.sock", "start_timeout": "1s"}
    mesh = Mesh(tmp_path, domain, json.dumps(said))
    with pytest.raises(RuntimeError, match=r"z\.yaml:\d+:\d+: spiffe\.workload_api: unix:.*nobody\.sock"):
        await mesh.__aenter__()
    assert await mesh.ended() == 2
    await mesh.__aexit__()


def test_the_sidecars_example_does_what_it_says(tmp_path):
    ports = {"WEB_PORT": str(free_port()), "ORDERS_PORT": str(free_port())}
    done = subprocess.run(
        ["sh", str(ROOT / "deploy/sidecar/run.sh"), "--once"],
        env={**os.environ, **ports, "RUN": str(tmp_path / "run"), "PYTHON": sys.executable},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    calls = [line.split(maxsplit=4) for line in done.stdout.splitlines()]
    assert [(caller, method, status) for caller, method, _, status, _ in calls] == [
        ("web", "GET", "200"),
        ("web", "POST", "200"),
        ("orders", "GET", "200"),
        ("orders", "POST", "403"),
        ("web", "GET", "404"),
    ], done.stderr
    assert json.loads(calls[0][4]) == {"service": "orders", "method": "GET", "path": "/orders/7", "known": True}
    assert json.loads(calls[3][4])["reason"] == "policy-denied"
    assert done.returncode == 0
    log = [json.loads(line) for line in (tmp_path / "run/orders/access.log").read_text().splitlines()]
    assert [line["status"] for line in log if line["route"] == "in"] == [200, 200]
