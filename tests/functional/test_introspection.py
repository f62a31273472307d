"""Opaque tokens of a certified identity provider: asked about by each way of showing who we are, revoked, away."""

import asyncio
import json
import os
import shutil
import time
from pathlib import Path

import aiohttp
import pytest

from tests.issuer_server import World
from tests.pki import client_context, key_pem
from tests.tokens import private_key, public_jwk
from ztproxy.model import Identified, Reason

FOLDER = Path(__file__).parent / "oidc-provider"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs node >= 20: apt-get install nodejs"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules").exists(), reason="needs npm ci --prefix tests/functional/oidc-provider"
    ),
]
KEY = private_key("ES256", "introspector")


class Provider:
    """The running identity provider, as the client `service` has it."""

    def __init__(self, process, url, trust):
        self.process, self.url, self.trust = process, url, trust

    async def post(self, path, **form):
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.trust, force_close=True)) as session,
            session.post(
                self.url + path,
                data=form,
                headers={"Authorization": aiohttp.encode_basic_auth("service", "not-a-secret")},
            ) as response,
        ):
            body = await response.text()
            assert response.status == 200, body
            return json.loads(body or "{}")

    async def bearer(self, resource="urn:opaque"):
        form = {"grant_type": "client_credentials", "scope": "read", "resource": resource}
        return b"Bearer " + (await self.post("/token", **form))["access_token"].encode()

    async def kill(self):
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        world.clock.wall = time.time()
        yield world


@pytest.fixture
async def provider(world):
    keys = world.folder / "introspector.jwks"
    keys.write_text(json.dumps({"keys": [public_jwk(KEY, kid="asks", alg="ES256", use="sig")]}))
    process = await asyncio.create_subprocess_exec(
        "node",
        FOLDER / "server.js",
        *world.authority.server().write(world.folder, "provider"),
        keys,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        while not (line := await process.stdout.readline()).startswith(b"https://"):
            assert line, "the identity provider ended"
    provider = Provider(process, line.decode().strip(), client_context(world.authority))
    yield provider
    await provider.kill()


def secret_file(world, text):
    path = world.folder / "client-secret"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    return path


async def asking(world, provider, **client):
    """An identity that asks this provider, at the place that it says itself."""
    section = {
        "issuer": provider.url,
        "audiences": ["ztproxy"],
        "algorithms": ["RS256"],
        "authorities": [world.authority_file],
        "introspection": {"client_as_subject": True} | client,
    }
    return await world.build(world.settings([section]))


async def test_its_opaque_tokens_say_who_asks_until_they_are_revoked(world, provider):
    key = secret_file(world, key_pem(KEY).decode())
    secret = world.folder / "service-secret"
    secret.write_text("not-a-secret\n")
    ways = [
        {"client_id": "service", "client_secret": {"file": secret}},
        {"client_id": "introspector", "client_key": key, "client_key_id": "asks"},
    ]
    bearer = await provider.bearer()
    for client in ways:
        identity = await asking(world, provider, cache="30s", **client)
        identified = await world.ask(identity, bearer)
        assert isinstance(identified, Identified), identified
        token = identified.token
        assert (token.issuer, token.subject, token.audience) == (provider.url, "service", ("ztproxy",))
        assert (token.kind, token.claims["scope"]) == ("opaque", "read")
        assert isinstance(await world.ask(identity, await provider.bearer("urn:ztproxy")), Identified)
        assert (await world.ask(identity, b"Bearer unknown")).reason is Reason.TOKEN_INACTIVE
    await provider.post("/token/revocation", token=bearer[7:].decode())
    assert isinstance(await world.ask(identity, bearer), Identified)  # its word still counts
    await identity.refresh()
    assert (await world.ask(identity, bearer)).reason is Reason.TOKEN_INACTIVE
    other = await provider.bearer()
    await provider.kill()
    assert (await world.ask(identity, other)).reason is Reason.INTROSPECTION_UNAVAILABLE


async def test_it_does_not_know_us_by_another_secret(world, provider):
    wrong = world.folder / "wrong"
    wrong.write_text("another\n")
    identity = await asking(world, provider, client_id="service", client_secret={"file": wrong})
    refusal = await world.ask(identity, await provider.bearer())
    assert refusal.reason is Reason.INTROSPECTION_UNAVAILABLE
    assert "answered 401, asked by client_secret_basic as service" in refusal.cause
