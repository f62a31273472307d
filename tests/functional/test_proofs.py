"""Proofs of possession through the real program: over connections, over workers, over a reload and with the memo."""

import asyncio
import json
import signal
from collections import Counter

import pytest

from tests.functional.gateway import Gateway
from tests.functional.test_always_on import until_said
from tests.proofs import Holder

pytestmark = pytest.mark.slow


class Client:
    """Holds a key, and a token that is bound to it."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.holder = Holder()
        self.token = gateway.issuer.token(cnf=self.holder.confirmation)

    def headers(self, path="/x", method="GET", **claims):
        url = f"https://localhost:{self.gateway.port}{path}"
        proof = self.holder.proof(self.token, method, url, **claims)
        return {"Authorization": "DPoP " + self.token.decode(), "DPoP": proof.decode()}

    async def ask(self, headers, path="/x"):
        """On a connection of its own: any worker may get it."""
        async with self.gateway.session() as session, session.get(path, headers=headers) as response:
            body = await response.read()
            return response.status, response.headers, json.loads(body) if response.status != 200 else body

    async def let_in(self):
        """Wait until proofs count: those from the very second in which the memory began do not."""
        async with asyncio.timeout(10):
            while (await self.ask(self.headers()))[0] != 200:
                await asyncio.sleep(0.05)


async def test_a_proof_counts_once_over_connections_and_workers(tmp_path):
    more = "workers: 2\ndpop: {replay: 'machine://'}"
    async with Gateway(tmp_path, more=more) as gateway:
        client = Client(gateway)
        await client.let_in()
        for _ in range(5):
            headers = client.headers()
            answers = await asyncio.gather(*[client.ask(headers) for _ in range(8)])
            assert Counter(status for status, _, _ in answers) == {200: 1, 401: 7}
            reasons = {body["reason"] for status, _, body in answers if status == 401}
            assert reasons == {"proof-replayed"}
        assert all("dpop" not in {name.lower() for name in seen["headers"]} for seen in gateway.seen)


async def test_the_very_same_octets_again_on_one_connection(tmp_path):
    async with Gateway(tmp_path, more="dpop: {}") as gateway:
        client = Client(gateway)
        await client.let_in()
        headers = client.headers()
        async with gateway.session() as session:
            statuses = []
            for _ in range(3):
                async with session.get("/x", headers=headers) as response:
                    await response.read()
                    statuses.append(response.status)
        assert statuses == [200, 401, 401]


async def test_what_the_memo_knows_lets_nobody_in_without_a_proof(tmp_path):
    """The decision is remembered for the token; that it may be presented is not."""
    async with Gateway(tmp_path, more="dpop: {}") as gateway:
        client = Client(gateway)
        await client.let_in()
        for _ in range(3):
            assert (await client.ask(client.headers()))[0] == 200
        token = "DPoP " + client.token.decode()
        for headers, reason in (
            ({"Authorization": token}, "proof-invalid"),
            ({"Authorization": token.replace("DPoP", "Bearer")}, "token-binding-mismatch"),
            (client.headers() | {"Authorization": token.replace("DPoP", "Bearer")}, "token-binding-mismatch"),
            (client.headers("/other"), "proof-invalid"),
            (client.headers(method="POST"), "proof-invalid"),
        ):
            status, _, body = await client.ask(headers)
            assert (status, body["reason"]) == (401, reason)


async def test_a_client_that_does_as_it_is_told_gets_in(tmp_path):
    async with Gateway(tmp_path, more="dpop: {nonce: required, nonce_rotation: 1s}") as gateway:
        client = Client(gateway)
        _, headers, _ = await client.ask(client.headers())
        assert 'error="use_dpop_nonce"' in headers.getall("WWW-Authenticate")[0]
        nonce = headers["DPoP-Nonce"]
        told = set()
        async with asyncio.timeout(20):
            while len(told) < 3:  # it goes on over rotations, told in time
                status, headers, _ = await client.ask(client.headers(nonce=nonce))
                nonce = headers.get("DPoP-Nonce", nonce)
                if status == 200 and "DPoP-Nonce" in headers:
                    told.add(nonce)


async def test_used_proofs_stay_used_over_a_reload(tmp_path):
    async with Gateway(tmp_path, more="dpop: {}") as gateway:
        client = Client(gateway)
        await client.let_in()
        headers = client.headers()
        assert (await client.ask(headers))[0] == 200
        gateway.signal(signal.SIGHUP)
        await until_said(gateway, "reloaded (signal)")
        status, _, body = await client.ask(headers)
        assert (status, body["reason"]) == (401, "proof-replayed")
        assert (await client.ask(client.headers()))[0] == 200
