"""Autobahn's WebSocket suite, direct to an echo server and through the whole program: no case may end worse.

`kosoku` runs the suite's own case files; the program verifies a client certificate and asks the policy about each
handshake. The cases of thousands of large messages are left out; `AUTOBAHN=all` runs them too, for half an hour.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.functional.gateway import Gateway
from tests.functional.ports import free_port
from tests.functional.relay import Relay
from tests.pki import client_context

pytestmark = pytest.mark.slow

CATEGORIES = {
    "framing, pings, reserved bits, opcodes, fragments": ["1.*", "2.*", "3.*", "4.*", "5.*"],
    "text in UTF-8": ["6.*"],
    "closing": ["7.*", "10.*"],
    "large messages": ["9.1.1", "9.1.2", "9.2.1", "9.2.2", "9.3.1", "9.4.1", "9.5.1", "9.6.1", "9.7.1", "9.8.1"],
    "compression": ["12.1.1", "12.1.2", "12.2.1", "12.3.1", "12.4.1", "12.5.1", *(f"13.{n}.1" for n in range(1, 8))],
}
if os.environ.get("AUTOBAHN") == "all":
    CATEGORIES = {"everything": ["*"]}
WORDS = ["OK", "NON-STRICT", "INFORMATIONAL", "UNCLEAN", "WRONG CODE", "FAILED BY CLIENT", "UNIMPLEMENTED", "FAILED"]
"""Verdicts, the best first."""


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is web.WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is web.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_get("/{path:.*}", echo)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield port
    await runner.cleanup()


async def verdicts(port: int, cases: list[str], folder: Path) -> dict[str, tuple[int, int]]:
    """How bad each case's verdict is, on the messages and on the closing."""
    included = [word for case in cases for word in ("-i", case)]
    suite = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("kosoku"), "-p", "4", "-o", str(folder), *included, f"ws://localhost:{port}/echo",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await suite.communicate()
    index = folder / "index.json"
    assert index.exists(), said.decode()
    [found] = json.loads(index.read_text()).values()
    return {case: (_badness(one["behavior"]), _badness(one["behaviorClose"])) for case, one in found.items()}


def _badness(word: str) -> int:
    return WORDS.index(word) if word in WORDS else len(WORDS)


@pytest.mark.parametrize("cases", CATEGORIES.values(), ids=CATEGORIES.keys())
async def test_no_case_ends_worse_than_direct(tmp_path, echo_port, cases):
    upstream = f'{{servers: ["http://127.0.0.1:{echo_port}"]}}'
    direct = await verdicts(echo_port, cases, tmp_path / "direct")
    async with Gateway(tmp_path, require="[certificate]", upstream=upstream) as gateway:
        context = client_context(gateway.ca, gateway.client, tmp_path)
        async with Relay(gateway.port, context) as relay:
            through = await verdicts(relay.port, cases, tmp_path / "through")
        logged = gateway.access_log()
    worse = {
        case: (direct[case], found)
        for case, found in through.items()
        if any(now > before for now, before in zip(found, direct[case], strict=True))
    }
    assert worse == {}
    assert through.keys() == direct.keys()
    assert {line["status"] for line in logged} == {101}
    assert {line["certificate_subject"] is not None for line in logged} == {True}
