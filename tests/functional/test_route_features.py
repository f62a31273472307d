"""What routes change by themselves, and how streams end, with the real program in front of a real application."""

import signal

import aiohttp
import pytest

from tests.functional.gateway import Gateway
from tests.pki import Authority

pytestmark = pytest.mark.slow

APP = "https://app.test"
ROUTE = """\
    paths: [/api/, /socket]
    headers:
      request: {set: {X-Env: prod}, remove: [X-Debug]}
      response: {set: {X-Frame-Options: DENY}, remove: [Server]}
    cors: {origins: ["https://app.test"], methods: [GET, PUT], headers: [Authorization], credentials: true}
    streams: {lifetime: 1s, maximum_per_identity: 1}
  - name: moved
    hosts: [localhost]
    paths: [/old/]
    require: [token]
    policy_headers: [X-Role]
    redirect: {to: "https://new.test/", keep: true}
  - name: rewritten
    hosts: [localhost]
    paths: [/v1/]
    require: [token]
    policy_headers: [X-Role]
    rewrite: {prefix: /v1/, to: /api/v1/}
    upstream: UPSTREAM
"""


@pytest.fixture
async def gateway(tmp_path):
    async with Gateway(tmp_path, require="[token]", route=ROUTE) as running:
        yield running


async def test_a_browsers_question_needs_no_identity(gateway):
    asked = {"Origin": APP, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    async with gateway.session(None) as session:
        answer = await session.options("/api/x", headers=asked)
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, PUT"
        refused = await session.options("/api/x", headers={**asked, "Origin": "https://evil.test"})
        assert (refused.status, (await refused.json())["reason"]) == (403, "cross-origin-refused")
        assert (await session.options("/api/x", headers={**asked, "Cookie": "a=b"})).status == 401


async def test_answers_and_refusals_are_readable_to_the_named_page(gateway):
    async with gateway.session() as session:
        for headers, status in ((gateway.bearer(), 200), ({}, 401)):
            answer = await session.get("/api/x", headers={**headers, "Origin": APP})
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == APP
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"


async def test_header_rules_hold_both_ways(gateway):
    async with gateway.session() as session:
        answer = await session.get("/api/x", headers={**gateway.bearer(), "X-Env": "test", "X-Debug": "1"})
        seen = (await answer.json())["headers"]
    assert (seen["X-Env"], "X-Debug" in seen) == ("prod", False)
    assert (answer.headers["X-Frame-Options"], "Server" in answer.headers) == ("DENY", False)


async def test_a_redirect_is_for_whom_the_route_lets_in(gateway):
    async with gateway.session() as session:
        refused = await session.get("/old/a?b=c", allow_redirects=False)
        answer = await session.get("/old/a?b=c", headers=gateway.bearer(), allow_redirects=False)
    assert refused.status == 401
    assert (answer.status, answer.headers["Location"]) == (308, "https://new.test/old/a?b=c")


async def test_the_upstream_sees_the_rewritten_path_and_the_log_the_original(gateway):
    async with gateway.session() as session:
        answer = await session.get("/v1/x?y", headers=gateway.bearer())
        assert (await answer.json())["path"] == "/api/v1/x?y"
    await gateway.stop(signal.SIGTERM)
    assert [(line["path"], line["route"]) for line in gateway.access_log()] == [("/v1/x", "rewritten")]


async def test_a_websocket_ends_with_its_lifetime_and_only_one_is_open_for_each(gateway):
    async with gateway.session() as session, session.ws_connect("/socket", headers=gateway.bearer()) as socket:
        await socket.send_str("a")
        assert await socket.receive_str() == "echo a"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect("/socket", headers=gateway.bearer())
        assert refused.value.status == 429
        async with session.ws_connect("/socket", headers=gateway.bearer(sub="bob")):
            pass
        closed = await socket.receive(timeout=10)
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1001)


async def test_a_proxy_that_closes_says_so_to_its_websockets(tmp_path):
    async with Gateway(tmp_path, require="[token]") as gateway, gateway.session() as session:
        socket = await session.ws_connect("/socket", headers=gateway.bearer())
        gateway.signal(signal.SIGTERM)
        closed = await socket.receive(timeout=10)
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert await gateway.ended() == 0
        [line] = [line for line in gateway.access_log() if line["path"] == "/socket"]
        assert line["status"] == 101


async def test_a_reload_that_trusts_another_authority_ends_the_websockets_of_the_old(tmp_path):
    async with Gateway(tmp_path, require="[token]") as gateway, gateway.session() as session:
        socket = await session.ws_connect("/socket", headers=gateway.bearer())
        async with gateway.session(None) as nobody:
            other = await nobody.ws_connect("/socket", headers=gateway.bearer())
            Authority.new("Another Root").write(tmp_path, "other")
            configuration = tmp_path / "z.yaml"
            was = "client_certificates: {authorities: [ca.pem]"
            assert was in configuration.read_text()
            configuration.write_text(configuration.read_text().replace(was, was.replace("ca.pem", "other.pem")))
            gateway.signal(signal.SIGHUP)
            closed = await socket.receive(timeout=20)
            assert (closed.type, closed.data, closed.extra) == (
                aiohttp.WSMsgType.CLOSE,
                1008,
                "certificate-untrusted-here",
            )
            await other.send_str("a")
            assert await other.receive_str() == "echo a"
