"""Two nodes with one directory of keys: the next is made, taken up by reloads, and signs, under load all the while."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest

from tests.functional.gateway import Gateway

pytestmark = pytest.mark.slow


class Upstream:
    """Verifies what reaches a backend; asks for keys only when its copy is older than the gateway allows."""

    def __init__(self, nodes, clock):
        self.nodes, self.clock = nodes, clock
        self.asked = float("-inf")
        self.turn = 0
        self.kids = []
        self.fetched = asyncio.Event()

    async def has(self, kid):
        """Wait until its copy has a key."""
        await self.fetched.wait()
        while kid not in {key.key_id for key in self.keys.keys}:
            self.fetched.clear()
            await self.fetched.wait()

    async def verify(self, assertion):
        if self.clock() >= self.asked + 1:
            node = self.nodes[self.turn % len(self.nodes)]
            self.turn += 1
            self.asked = self.clock()
            async with node.session() as session, session.get("/.well-known/ztproxy/jwks.json") as response:
                assert response.headers["Cache-Control"] == "public, max-age=1"
                self.keys = jwt.PyJWKSet.from_dict(await response.json(content_type=None))
                self.fetched.set()
        kid = jwt.get_unverified_header(assertion)["kid"]
        jwt.decode(assertion, self.keys[kid], ["ES256"], audience="app", issuer="https://gateway.test", leeway=1)
        if kid not in self.kids:
            self.kids.append(kid)


async def rotate(node):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ztproxy", "assertion", "rotate", "--json", "--ahead", "1h"),
        *("--config", str(node.folder / "z.yaml")),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out)


async def reloaded(node):
    """Have all workers take up the ring, in the one way there is."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ztproxy", "reload", "--config", str(node.folder / "z.yaml")),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out


async def until_signed_with(kid, node):
    """A request of somebody new, who has no assertion yet, is told of with the new key."""
    async with (
        node.session() as session,
        session.get("/orders", headers=node.bearer(sub=f"after {node.port}")) as response,
    ):
        seen = await response.json()
    assert jwt.get_unverified_header(seen["headers"]["X-Ztproxy-Assertion"])["kid"] == kid


async def test_no_assertion_fails_while_the_key_changes_under_load(tmp_path):
    assertion = f'{{keys: {tmp_path}/ring, issuer: "https://gateway.test", lifetime: 1h, key_cache: 1s}}'
    more = "workers: 2\nadmin: {address: 'unix:FOLDER/admin.sock'}"
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (
        Gateway(folder, require="[token]", assertion=assertion, more=more.replace("FOLDER", str(folder)))
        for folder in folders
    )
    async with one, two:
        loop = asyncio.get_running_loop()
        upstreams = [Upstream([one, two], loop.time) for _ in (one, two)]
        ended = asyncio.Event()

        async def load(node, upstream):
            count = 0
            async with node.session() as session:
                while not ended.is_set():
                    count += 1
                    async with session.get("/orders", headers=node.bearer(sub=f"{node.port} {count}")) as response:
                        assert response.status == 200
                        seen = await response.json()
                    await upstream.verify(seen["headers"]["X-Ztproxy-Assertion"])

        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for node, upstream in zip((one, two), upstreams, strict=True):
                group.create_task(load(node, upstream))
            made = await rotate(one)
            for node in (one, two):
                await reloaded(node)
            for upstream in upstreams:
                await upstream.has(made["kid"])
            # An hour passes, for one node earlier than for the other.
            now = datetime.now(UTC) - timedelta(seconds=1)
            path = Path(made["file"])
            path.rename(path.with_name(f"from-{now:%Y%m%dT%H%M%SZ}.pem"))
            for node in (two, one):
                await reloaded(node)
                await group.create_task(until_signed_with(made["kid"], node))
            ended.set()
        assert all(made["kid"] in upstream.kids and len(upstream.kids) == 2 for upstream in upstreams)
