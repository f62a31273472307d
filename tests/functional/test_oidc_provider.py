"""Tokens of a certified identity provider, by its own discovery, keys and TLS."""

import asyncio
import shutil
import time
from pathlib import Path

import aiohttp
import pytest

from tests.issuer_server import World
from tests.pki import Authority, client_context
from tests.proofs import Holder
from tests.tokens import ABSENT
from ztproxy.identity import describe
from ztproxy.model import Identified, Reason

FOLDER = Path(__file__).parent / "oidc-provider"
INSTALL = "npm ci --prefix tests/functional/oidc-provider"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs node >= 20: apt-get install nodejs"),
    pytest.mark.skipif(not (FOLDER / "node_modules").exists(), reason=f"needs {INSTALL}"),
]


class Provider:
    """The running identity provider."""

    def __init__(self, process, url, trust):
        self.process, self.url, self.trust = process, url, trust

    async def token(self, client="service", trust=None, **headers):
        basic = {"Authorization": aiohttp.encode_basic_auth(client, "not-a-secret")}
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust or self.trust, force_close=True)) as session,
            session.post(
                self.url + "/token",
                data={"grant_type": "client_credentials", "scope": "read"},
                headers=basic | headers,
            ) as response,
        ):
            answer = await response.json()
            assert response.status == 200, answer
            return answer["access_token"].encode()

    async def rotate(self):
        self.process.stdin.write(b"rotate\n")
        await self.process.stdin.drain()
        async with asyncio.timeout(20):
            while (line := await self.process.stdout.readline()) != b"rotate done\n":
                assert line, "the identity provider ended"

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
    process = await asyncio.create_subprocess_exec(
        "node",
        FOLDER / "server.js",
        *world.authority.server().write(world.folder, "provider"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(30):
        while not (line := await process.stdout.readline()).startswith(b"https://"):
            assert line, "the identity provider ended"
    provider = Provider(process, line.decode().strip(), client_context(world.authority))
    yield provider
    await provider.kill()


def trust(world, provider):
    return {
        "issuer": provider.url,
        "audiences": ["ztproxy"],
        "algorithms": ["RS256"],
        "authorities": [world.authority_file],
    }


async def test_its_tokens_say_who_asks(world, provider):
    identity = await world.build(world.settings([trust(world, provider)]))
    identified = await world.ask(identity, b"Bearer " + await provider.token())
    assert isinstance(identified, Identified), identified
    token = identified.token
    assert (token.issuer, token.subject, token.audience) == (provider.url, "service", ("ztproxy",))
    assert token.kind == "access"
    assert token.claims["scope"] == "read"


async def test_its_tokens_for_others_do_not_count(world, provider):
    identity = await world.build(world.settings([trust(world, provider) | {"audiences": ["other"]}]))
    refusal = await world.ask(identity, b"Bearer " + await provider.token())
    assert refusal.reason is Reason.TOKEN_AUDIENCE_MISMATCH


async def test_it_may_change_its_key(world, provider):
    identity = await world.build(world.settings([trust(world, provider)]))
    before = b"Bearer " + await provider.token()
    assert isinstance(await world.ask(identity, before), Identified)
    await provider.rotate()
    world.clock.monotonic += 5
    assert isinstance(await world.ask(identity, b"Bearer " + await provider.token()), Identified)
    refusal = await world.ask(identity, before)
    assert refusal.reason is Reason.TOKEN_KEY_UNKNOWN


async def test_killed_it_is_not_missed(world, provider):
    identity = await world.build(world.settings([trust(world, provider)]))
    tokens = [b"Bearer " + await provider.token() for _ in range(2)]
    assert isinstance(await world.ask(identity, tokens[0]), Identified)
    await provider.kill()
    assert isinstance(await world.ask(identity, tokens[0]), Identified)
    assert isinstance(await world.ask(identity, tokens[1]), Identified)
    await identity.close()
    again = await world.build(world.settings([trust(world, provider)]))
    assert isinstance(await world.ask(again, tokens[1]), Identified)


async def test_its_tokens_that_are_bound_to_a_key_need_a_proof(world, provider):
    identity = await world.build(world.settings([trust(world, provider)], dpop={}))
    holder = Holder(now=lambda: world.clock.wall)
    world.clock.wall = float(int(world.clock.wall) + 1)
    asking = holder.proof(b"", "POST", provider.url + "/token", ath=ABSENT)
    token = await provider.token(DPoP=asking.decode())
    proof = holder.proof(token)
    identified = await world.ask(identity, b"DPoP " + token, unverified_proofs=(proof,))
    assert isinstance(identified, Identified), identified
    assert identified.token.bound_key == holder.confirmation["jkt"]
    for scheme, proofs, reason in (
        (b"Bearer ", (), Reason.TOKEN_BINDING_MISMATCH),
        (b"DPoP ", (), Reason.PROOF_INVALID),
        (b"DPoP ", (proof,), Reason.PROOF_REPLAYED),
        (b"DPoP ", (asking,), Reason.PROOF_INVALID),
        (b"DPoP ", (Holder(name="thief", now=holder.now).proof(token),), Reason.TOKEN_BINDING_MISMATCH),
    ):
        assert (await world.ask(identity, scheme + token, unverified_proofs=proofs)).reason is reason


async def test_its_tokens_that_are_bound_to_a_certificate_need_it(world, provider, tmp_path):
    clients = Authority.new("Clients' Root")
    server, key = clients.server().write(tmp_path, "server")
    asking = {"authorities": [clients.write(tmp_path)], "mode": "optional"}
    listener = {"certificates": [{"certificate": server, "key": key}], "client_certificates": asking}
    issuer = trust(world, provider) | {"binding": "certificate"}
    identity = await world.build(world.settings([issuer], listeners=[{"address": "127.0.0.1:8080"} | listener]))
    leaf = clients.issue("alice")
    shown = client_context(world.authority)
    shown.load_cert_chain(*leaf.write(tmp_path, "alice"))
    token = await provider.token("bound", shown)
    mine, theirs = (describe((one.der, clients.der)) for one in (leaf, clients.issue("bob")))
    identified = await world.ask(identity, b"Bearer " + token, certificate=mine)
    assert isinstance(identified, Identified), identified
    assert identified.token.bound_to == mine.fingerprint
    for certificate in (theirs, None):
        refusal = await world.ask(identity, b"Bearer " + token, certificate=certificate)
        assert refusal.reason is Reason.TOKEN_BINDING_MISMATCH
    unbound = await provider.token()
    assert (await world.ask(identity, b"Bearer " + unbound, certificate=mine)).reason is Reason.TOKEN_BINDING_REQUIRED
