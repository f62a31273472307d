"""The main job, with the real program over real TLS: what is authorised arrives, what is not does not, and says why."""

import asyncio
import hashlib
import json
import signal
import sqlite3
import ssl
from pathlib import Path

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.functional.gateway import Gateway
from tests.pki import Authority, client_context

pytestmark = pytest.mark.slow


@pytest.fixture
async def gateway(tmp_path):
    async with Gateway(tmp_path) as running:
        yield running


async def refused(response: aiohttp.ClientResponse) -> str:
    assert response.content_type == "application/problem+json"
    problem = await response.json(content_type=None)
    assert problem["status"] == response.status
    assert problem["request_id"] == response.headers["X-Request-Id"]
    reason: str = problem["reason"]
    return reason


async def test_an_authorised_request_arrives_with_who_asks(gateway):
    async with gateway.session() as session:
        headers = {**gateway.bearer(), "X-Role": "admin", "X_Role": "admin", "Remote-User": "root", "X-Other": "kept"}
        async with session.post("/orders/1?q=a%20b", headers=headers, data=b"body") as response:
            assert response.status == 200
            assert (await response.json())["body"] == "body"
        async with session.get("/.well-known/ztproxy/jwks.json") as response:
            keys = await response.json(content_type=None)
    (seen,) = gateway.seen
    headers = seen["headers"]
    assert (seen["method"], seen["path"]) == ("POST", "/orders/1?q=a%20b")
    assert headers["X-Role"] == "reader"
    assert headers["X-Other"] == "kept"
    assert not {"Authorization", "Remote-User", "X_Role"} & set(headers)
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["X-Forwarded-Host"] == f"localhost:{gateway.port}"
    assert headers["Client-Cert"].startswith(":MII")
    key = jwt.PyJWK(keys["keys"][0]).key
    assert isinstance(key, ec.EllipticCurvePublicKey)
    claims = jwt.decode(headers["X-Ztproxy-Assertion"], key, algorithms=["ES256"], audience="app")
    assert claims["sub"] == "alice"
    assert claims["iss"] == "https://gateway.test"


REFUSALS = [
    (None, "/", 401, "token-missing"),
    ({"exp": 1}, "/", 401, "token-expired"),
    ({"aud": "other"}, "/", 401, "token-audience-mismatch"),
    ({"iss": "https://evil.test"}, "/", 401, "token-issuer-unknown"),
    ({"nbf": 4_000_000_000}, "/", 401, "token-not-yet-valid"),
    ({"header": {"kid": "other"}}, "/", 401, "token-key-unknown"),
    ({"header": {"alg": "none"}}, "/", 401, "token-algorithm-refused"),
    ({}, "/secret/x", 403, "policy-denied"),
    ({}, "/a/../secret", 400, "request-ambiguous"),
    ({}, "/a//b", 400, "request-ambiguous"),
]


async def test_each_refusal_has_its_own_reason_and_nothing_arrives(gateway):
    for claims, path, status, reason in REFUSALS:
        raw = await raw_request(gateway, path, {} if claims is None else gateway.bearer(**claims))
        head, _, body = raw.partition(b"\r\n\r\n")
        assert (int(head.split()[1]), json.loads(body)["reason"]) == (status, reason), (claims, path)
        assert (b"www-authenticate: bearer" in head.lower()) == (status == 401)
    assert gateway.seen == []


async def raw_request(gateway: Gateway, path: str, headers: dict[str, str], *, host: str = "localhost") -> bytes:
    context = client_context(gateway.ca, gateway.client, gateway.folder)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=context, server_hostname="localhost")
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n".encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_request_without_certificate_is_refused(gateway):
    async with gateway.session(None) as session, session.get("/", headers=gateway.bearer()) as response:
        assert response.status == 403
        assert await refused(response) == "certificate-required"


async def test_a_certificate_for_servers_is_refused(gateway):
    async with gateway.session(gateway.ca.server("evil.test")) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("/", headers=gateway.bearer())


async def test_a_certificate_of_another_authority_fails_the_handshake_and_is_logged(gateway):
    stranger = Authority.new("Functional Test Root").issue("mallory")
    async with gateway.session(stranger) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("/", headers=gateway.bearer())
    await gateway.stop(signal.SIGTERM)
    failed = [line for line in gateway.access_log() if line.get("certificate_subject") == "CN=mallory"]
    assert failed, gateway.access_log()


async def test_host_and_sni_must_name_the_same(gateway):
    raw = await raw_request(gateway, "/", gateway.bearer(), host="other.test")
    assert raw.startswith(b"HTTP/1.1 421 ")


async def test_the_page_for_people(gateway):
    async with gateway.session() as session, session.get("/", headers={"Accept": "text/html"}) as response:
        page = await response.text()
    assert response.content_type == "text/html"
    assert "token-missing" in page
    assert "<script" not in page


async def test_streams_pass_both_ways(gateway):
    async def pieces():
        for _ in range(64):
            yield b"x" * 65536

    async with gateway.session() as session:
        async with session.post("/stream", headers=gateway.bearer(), data=pieces()) as response:
            assert len(await response.read()) == 64 * 65536
        async with session.get("/events", headers=gateway.bearer()) as response:
            assert (await response.text()).count("data:") == 3
        async with session.ws_connect("/socket", headers=gateway.bearer()) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "echo hello"


async def test_the_logs_tell_what_happened_without_secrets(gateway):
    token = gateway.bearer(sub="bob")
    async with gateway.session() as session:
        await session.get("/secret/x?key=hidden", headers={**token, "Cookie": "sid=hidden"})
    assert await gateway.stop(signal.SIGTERM) == 0
    (line,) = gateway.access_log()
    assert line["status"] == 403
    assert line["reason"] == "policy-denied"
    assert line["token_subject"] == "bob"
    assert line["certificate_fingerprint"] == hashlib.sha256(gateway.client.der).hexdigest()
    assert line["route"] == "app"
    with sqlite3.connect(gateway.folder / "var" / "decisions.db") as database:
        ((event,),) = database.execute("SELECT event FROM decisions").fetchall()
    database.close()
    decision = json.loads(event)
    assert decision["result"]["allow"] is False
    assert decision["decision_id"] == line["request_id"]
    everything = (gateway.folder / "access.log").read_text() + event + "".join(gateway.said)
    for secret in ("hidden", token["Authorization"].split()[1]):
        assert secret not in everything


async def test_sigterm_drains_what_runs(gateway):
    async with gateway.session() as session:
        started, more = asyncio.Event(), asyncio.Event()

        async def body():
            yield b"first"
            started.set()
            await more.wait()
            yield b"second"

        request = asyncio.ensure_future(session.post("/stream", headers=gateway.bearer(), data=body()))
        await started.wait()
        gateway.signal(signal.SIGTERM)
        while not (await gateway.line()).startswith("draining"):
            pass
        more.set()
        async with await request as response:
            assert await response.read() == b"firstsecond"
    assert await gateway.ended() == 0


async def test_a_second_signal_ends_at_once(gateway):
    async with gateway.session() as session, session.ws_connect("/socket", headers=gateway.bearer()) as socket:
        await socket.send_str("a")
        await socket.receive_str()
        gateway.signal(signal.SIGTERM)
        while not (await gateway.line()).startswith("draining"):
            pass
        gateway.signal(signal.SIGINT)
        assert await gateway.ended() == 0


async def test_sigusr1_opens_the_log_anew(gateway):
    async with gateway.session() as session:
        await session.get("/", headers=gateway.bearer())
        log: Path = gateway.folder / "access.log"
        await written(log)
        log.rename(log.with_suffix(".1"))
        gateway.signal(signal.SIGUSR1)
        while not log.exists():
            await session.get("/", headers=gateway.bearer())
    await gateway.stop(signal.SIGTERM)
    assert gateway.access_log()


async def written(log: Path) -> None:
    async with asyncio.timeout(5):
        while not log.exists() or not log.stat().st_size:
            await asyncio.sleep(0.01)


async def test_limits_are_kept_per_identity(tmp_path):
    rules = "{rules: [{key: token.subject, rate: 1/hour, burst: 2}]}"
    async with Gateway(tmp_path, limits=rules) as gateway, gateway.session() as session:
        statuses = [(await session.get("/x", headers=gateway.bearer(sub="a"))).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        async with session.get("/x", headers=gateway.bearer(sub="a")) as response:
            assert await refused(response) == "rate-limited"
            assert int(response.headers["Retry-After"]) > 1000
            assert "RateLimit" in response.headers
        assert (await session.get("/x", headers=gateway.bearer(sub="b"))).status == 200


async def test_a_revoked_certificate_is_refused(tmp_path):
    async with Gateway(tmp_path) as first:
        revoked, listed = first.client, first.ca
    listed.write_crl(tmp_path, revoked, name="ca.crl")
    async with Gateway.again(first, crl=", crl: [ca.crl]") as gateway, gateway.session() as session:
        async with session.get("/x", headers=gateway.bearer()) as response:
            assert await refused(response) == "certificate-revoked"


async def test_tls_1_1_and_plaintext_are_refused(gateway):
    context = client_context(gateway.ca, gateway.client, gateway.folder, maximum=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection("127.0.0.1", gateway.port, ssl=context, server_hostname="localhost")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(10):
        assert b"HTTP/1.1 200" not in await reader.read()
    writer.close()
