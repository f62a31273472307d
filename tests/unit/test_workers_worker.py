"""A worker in this process: what the supervisor's messages mean."""

import asyncio
import logging
import socket

import msgspec
import pytest

from tests.listening import PATIENCE, until
from ztproxy.generation import Generation
from ztproxy.workers.channel import Channel, from_worker
from ztproxy.workers.messages import (
    Abort,
    Ask,
    Commit,
    Committed,
    Drain,
    Drained,
    Failed,
    Prepare,
    Prepared,
    Reopen,
    Reply,
)
from ztproxy.workers.worker import Worker

pytestmark = pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="needs sockets that are handed on")
TEXT = """\
version: 1
listeners: [{address: '127.0.0.1:0', protocol: http}]
policy: {path: policies}
logs: {access: access.log}
routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]
"""
ADDRESS = "127.0.0.1:0"


class Supervised:
    """A worker and what it says."""

    def __init__(self, folder) -> None:
        self.folder = folder
        ours, theirs = socket.socketpair()
        self.said: asyncio.Queue[object] = asyncio.Queue()
        self.worker = Worker(theirs, "1")
        self.channel = Channel(ours, from_worker(), lambda message, _: self.said.put_nowait(message), lambda: None)
        self.ended = asyncio.create_task(self.worker.ended())

    async def ask(self, message, sockets=()):
        self.channel.send(message, sockets)
        return await asyncio.wait_for(self.said.get(), PATIENCE)

    def order(self, generation=1, text=TEXT, **how):
        return Prepare(generation, text, str(self.folder / "z.yaml"), None, 1, **how)


@pytest.fixture
async def supervised(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := false\n")
    made = Supervised(tmp_path)
    yield made
    made.channel.send(Drain(0.0))
    await asyncio.wait_for(made.ended, PATIENCE)
    made.channel.close()


async def serving(supervised):
    prepared = await supervised.ask(supervised.order())
    assert isinstance(prepared, Prepared)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        committed = await supervised.ask(Commit(1, (ADDRESS,)), [sock])
        assert isinstance(committed, Committed)
        return sock.getsockname()


async def status(address) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    got = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    await writer.wait_closed()
    return got[9:12]


async def test_it_serves_what_it_prepared_on_the_sockets_that_came_with_the_order(supervised):
    assert await supervised.ask(Ask(1, "unready")) == Reply(1, b'["no configuration serves yet"]')
    address = await serving(supervised)
    assert await status(address) == b"403"
    assert await supervised.ask(Ask(2, "ping")) == Reply(2, b"")
    unready = await supervised.ask(Ask(3, "unready"))
    assert msgspec.json.decode(unready.body) == []
    assert (await supervised.ask(Ask(4, "snapshot"))).body
    assert (await supervised.ask(Ask(5, "status"))).body
    await until((supervised.folder / "access.log").read_text)
    (supervised.folder / "access.log").rename(supervised.folder / "old.log")
    supervised.channel.send(Reopen())
    assert await status(address) == b"403"
    assert await supervised.ask(Drain(5.0)) == Drained(0)
    await asyncio.wait_for(supervised.ended, PATIENCE)
    assert len((supervised.folder / "access.log").read_text().splitlines()) == 1


async def test_what_is_wrong_is_said_and_what_serves_serves_on(supervised):
    address = await serving(supervised)
    wrong = await supervised.ask(supervised.order(2, "version: 2\n"))
    assert isinstance(wrong, Failed)
    (supervised.folder / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := x\n")
    wrong = await supervised.ask(supervised.order(3))
    assert "authz.rego:3:13" in wrong.problems[0]
    assert isinstance(await supervised.ask(supervised.order(4, keep_policy=True)), Prepared)
    supervised.channel.send(Abort(4))
    assert await status(address) == b"403"


async def test_a_policy_is_refused_that_its_manifest_does_not_agree_with(supervised):
    wrong = await supervised.ask(supervised.order(1, by_manifest=True))
    assert "SHA256SUMS: cannot be checked" in wrong.problems[0]


async def test_a_bug_in_what_is_to_follow_does_not_end_what_serves(supervised, monkeypatch, caplog):
    address = await serving(supervised)

    async def prepare(*_, **__):
        raise TypeError("unforeseen")

    with monkeypatch.context() as patched, caplog.at_level(logging.CRITICAL):
        patched.setattr(Generation, "prepare", prepare)
        wrong = await supervised.ask(supervised.order(2))
    assert wrong == Failed(2, ("a bug in ztproxy: TypeError: unforeseen",))
    assert await status(address) == b"403"


async def test_files_that_change_while_they_are_read_are_nobodys_configuration(supervised, monkeypatch):
    issuer = "{issuer: 'https://a.example', audiences: [a], authorities: [ca.pem]}"
    from tests.pki import Authority

    Authority.new().write(supervised.folder)
    real = Generation.prepare.__func__

    async def prepare(cls, *positional, **named):
        made = await real(cls, *positional, **named)
        Authority.new().write(supervised.folder)
        return made

    monkeypatch.setattr(Generation, "prepare", classmethod(prepare))
    wrong = await supervised.ask(supervised.order(1, f"{TEXT}issuers: [{issuer}]\n"))
    assert "changed while they were read" in wrong.problems[0]
