"""The examples of docs/upstreams.md behind the real gateway: whom they believe, and whom they do not."""

import asyncio
import hashlib
import hmac
import os
import shutil
import sys
import time
from pathlib import Path

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.functional.gateway import Gateway
from tests.functional.ports import free_port
from tests.tokens import ABSENT, encode, public_jwk, signer
from ztproxy.upstream.signing_key import load, load_or_create

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "upstream"
BUILD = "sh docs/examples/upstream/build.sh"
LANGUAGES = {
    "python": (sys.executable, [str(EXAMPLES / "python" / "service.py")], EXAMPLES / "python" / "service.py", ""),
    "go": (str(EXAMPLES / "go" / "service"), [], EXAMPLES / "go" / "service", "apt-get install golang"),
    "java": (
        "java",
        ["-cp", f"{EXAMPLES}/java/target/upstream.jar:{EXAMPLES}/java/target/dependency/*", "example.Service"],
        EXAMPLES / "java" / "target" / "upstream.jar",
        "apt-get install maven",
    ),
    "node": (
        "node",
        [str(EXAMPLES / "node" / "service.js")],
        EXAMPLES / "node" / "node_modules" / "jose",
        "apt-get install nodejs npm",
    ),
}
ISSUER, AUDIENCE = "https://gateway.test", "app"

pytestmark = pytest.mark.slow


class Service:
    """An example that runs."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    @classmethod
    async def start(cls, language: str, gateway: Gateway, port: int) -> "Service":
        program, arguments, _, _ = LANGUAGES[language]
        authority = str(gateway.folder / "ca.pem")
        environment = {
            **os.environ,
            "ZTPROXY_JWKS": f"https://localhost:{gateway.port}/.well-known/ztproxy/jwks.json",
            "ZTPROXY_ISSUER": ISSUER,
            "ZTPROXY_AUDIENCE": AUDIENCE,
            "ZTPROXY_CA": authority,
            "SSL_CERT_FILE": authority,
            "NODE_EXTRA_CA_CERTS": authority,
            "PORT": str(port),
        }
        process = await asyncio.create_subprocess_exec(
            program, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        assert line == b"listening on %d\n" % port, line + await process.stdout.read()
        return cls(process, f"http://127.0.0.1:{port}/")

    async def asked(self, *assertions: bytes) -> tuple[int, dict]:
        """Ask it past the gateway, as only what stands in its network could."""
        fields = [("X-Ztproxy-Assertion", assertion.decode()) for assertion in assertions]
        async with aiohttp.ClientSession() as session, session.get(self.url, headers=fields) as response:
            return response.status, await response.json(content_type=None)


@pytest.fixture(params=LANGUAGES)
async def behind(request, tmp_path):
    """A gateway, and a service behind it."""
    program, _, built, install = LANGUAGES[request.param]
    if request.param != "go" and shutil.which(program) is None:
        pytest.skip(f"needs {install}, then {BUILD}")
    if not built.exists():
        pytest.skip(f"needs {install + ', then ' if install else ''}{BUILD}")
    port = free_port()
    upstream = f'{{servers: ["http://127.0.0.1:{port}"]}}'
    route = "    assertion: {claims: {email: token.claims.email, n: token.claims.n}}"
    async with Gateway(tmp_path, require="[token]", upstream=upstream, route=route) as gateway:
        service = await Service.start(request.param, gateway, port)
        try:
            yield gateway, service
        finally:
            if service.process.returncode is None:
                service.process.kill()
            await service.process.wait()


def made(folder, header=None, key=None, algorithm="ES256", **claims):
    """An assertion as the gateway would sign it, with what a test changes of it."""
    own = load(folder / "var" / "assertion.key")
    now = int(time.time())
    plain = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60, "sub": "alice", "token_issuer": "https://idp"}
    payload = {name: value for name, value in (plain | claims).items() if value is not ABSENT}
    head = {"alg": algorithm, "kid": own.kid, "typ": "JWT"} | (header or {})
    return encode(head, payload, signer(algorithm, key or own.private) if algorithm == "ES256" else key)


async def test_who_asks_through_the_gateway_is_believed(behind):
    gateway, _ = behind
    async with gateway.session() as session:
        for headers in ({}, {"X-Ztproxy-Assertion": made(gateway.folder, sub="root").decode()}):
            bearer = gateway.bearer(email="alice@corp.example", n=7)
            async with session.get("/orders", headers={**bearer, **headers}) as response:
                assert response.status == 200
                answer = await response.json(content_type=None)
            assert (answer["issuer"], answer["subject"]) == (gateway.issuer.issuer, "alice")
            assert (answer["claims"]["email"], answer["claims"]["n"]) == ("alice@corp.example", 7)


async def test_nobody_else_is(behind, tmp_path):
    """Each is refused with 401, and the same with nothing wrong in it is not: nothing else refuses it."""
    gateway, service = behind
    folder = gateway.folder
    now = int(time.time())
    good = made(folder)
    status, answer = await service.asked(good)
    assert (status, answer["subject"], answer["issuer"]) == (200, "alice", "https://idp"), answer
    status, answer = await service.asked(made(folder, token_issuer=ABSENT, sub="spiffe://corp/a"))
    assert (status, answer["subject"], answer["issuer"]) == (200, "spiffe://corp/a", None), answer

    other = ec.generate_private_key(ec.SECP256R1())
    foreign = load_or_create(tmp_path / "other" / "assertion.key")
    own = load(folder / "var" / "assertion.key")
    public = own.private.public_key()
    secrets = {
        "pem": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "x": own.public["x"].encode(),
    }
    head, payload, signature = good.split(b".")
    wrong = {
        "missing": (),
        "two": (good, good),
        "empty": (b"",),
        "nonsense": (b"nonsense",),
        "forged": (made(folder, key=other),),
        "another's payload": (b".".join([head, made(folder, sub="root").split(b".")[1], signature]),),
        "no signature": (head + b"." + payload + b".",),
        "alg none": (encode({"alg": "none", "kid": own.kid}, jwt_claims(good), lambda _: b""),),
        "alg NonE": (encode({"alg": "NonE", "kid": own.kid}, jwt_claims(good), lambda _: b""),),
        "unknown key": (made(folder, header={"kid": "unknown"}),),
        "no key named, forged": (encode({"alg": "ES256"}, jwt_claims(good), signer("ES256", other)),),
        "a key of another gateway": (made(folder, header={"kid": foreign.kid}, key=foreign.private),),
        "its own key": (made(folder, header={"jwk": public_jwk(other)}, key=other),),
        "other audience": (made(folder, aud="other"),),
        "no audience": (made(folder, aud=ABSENT),),
        "other issuer": (made(folder, iss="https://gateway.test.evil"),),
        "no issuer": (made(folder, iss=ABSENT),),
        "expired": (made(folder, exp=now - 60, iat=now - 120),),
        "endless": (made(folder, exp=ABSENT),),
        "nobody": (made(folder, sub=ABSENT),),
    }
    for name, secret in secrets.items():
        wrong[f"HS256 with the public key as {name}"] = (made(folder, algorithm="HS256", key=hs256(secret)),)
    for name, assertions in wrong.items():
        status, answer = await service.asked(*assertions)
        assert status == 401, (name, answer)
        assert set(answer) == {"error"}, name


def hs256(secret):
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()


def jwt_claims(assertion):
    return jwt.decode(assertion, options={"verify_signature": False})
