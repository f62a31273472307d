"""An issuer's key is removed in an emergency, in the real program with two workers, by its command."""

import asyncio
import json
import socket
import sys
import tempfile

import aiohttp
import pytest

from tests.functional.gateway import Gateway
from tests.tokens import private_key

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="needs sockets that are handed on to processes"),
]
ALLOW = "package ztproxy.authz\n\ndecision := true\n"
CONNECTIONS = 8
"""Enough that each of two workers has some."""


async def command(gateway: Gateway, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ztproxy", *words, "--config", str(gateway.folder / "z.yaml"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def reasons(gateway: Gateway, bearer: dict[str, str]) -> set[str]:
    """What connections of their own get, each by some worker."""
    found = set()
    for _ in range(CONNECTIONS):
        async with gateway.session() as session, session.get("/x", headers=bearer) as answer:
            body = await answer.json(content_type=None)
            found.add("ok" if answer.status == 200 else body["reason"])
    return found


async def test_a_withdrawn_key_is_gone_in_all_workers_with_its_tokens_and_streams(tmp_path):
    with tempfile.TemporaryDirectory() as short:
        more = f"workers: 2\nadmin: {{address: 'unix:{short}/admin.sock'}}"
        async with Gateway(tmp_path, rego=ALLOW, more=more) as gateway:
            await judged(gateway)
            code, out, _ = await command(gateway, "issuers", "list", "--json")
            assert code == 0
            assert json.loads(out)[0]["keys"] == 1
            await away(gateway)


async def judged(gateway: Gateway) -> None:
    """A stolen key's token and stream before and after."""
    stolen = gateway.bearer()
    assert await reasons(gateway, stolen) == {"ok"}
    async with gateway.session() as session:
        stream = await session.ws_connect("/socket", headers=stolen)
        gateway.issuer.key, gateway.issuer.kid = private_key("RS256", "new"), "key-2"
        code, out, err = await command(gateway, "issuers", "refresh")
        assert code == 0, out + err
        row = next(line.split() for line in out.splitlines() if line.startswith(gateway.issuer.issuer))
        assert row[1] == "1,2"
        assert row[5].startswith("key-1#")
        assert row[6].startswith("key-2#")
        assert await reasons(gateway, stolen) == {"token-key-unknown"}
        assert await reasons(gateway, gateway.bearer()) == {"ok"}
        async with asyncio.timeout(10):
            assert (await stream.receive()).type is aiohttp.WSMsgType.CLOSE


async def away(gateway: Gateway) -> None:
    """What is said when the issuer does not answer, or is none of ours."""
    code, _, err = await command(gateway, "issuers", "refresh", "https://other.test")
    assert code == 2
    assert "no issuer https://other.test is configured" in err
    await gateway.stop_issuer()
    code, out, _ = await command(gateway, "issuers", "refresh", gateway.issuer.issuer, "--json")
    assert code == 1
    (first, second) = json.loads(out)["workers"]
    for worker in (first, second):
        (issuer,) = worker["issuers"]
        assert "keys: " in issuer["failures"][0]
        assert issuer["after"][0].startswith("key-2#")
    code, out, _ = await command(gateway, "issuers", "list")
    assert code == 1
    assert "1 failures" in out
