"""The real program exchanges callers' tokens at an issuer, and its upstream gets what came of it."""

import signal

import jwt
import pytest
from aiohttp import web

from tests.exchange_endpoint import ExchangeEndpoint, ExchangeError
from tests.functional.gateway import Gateway

pytestmark = pytest.mark.slow

ROUTE = """\
    token_exchange: {client_id: gateway, client_secret: {file: secret}, token_endpoint: "%s", audience: [orders]}
  - name: late
    hosts: [late.test]
    require: []
    upstream: UPSTREAM"""


class Exchanging(Gateway):
    """A gateway whose issuer exchanges tokens."""

    async def start(self) -> None:
        written = self.folder / "z.yaml"
        written.write_text(written.read_text().replace("ISSUER", self.issuer.issuer))
        (self.folder / "secret").write_text("geheim")
        (self.folder / "secret").chmod(0o600)
        await super().start()

    def _issuer_application(self) -> web.Application:
        application = super()._issuer_application()
        self.exchange = ExchangeEndpoint(self.issuer, {"gateway": "geheim"}, {"orders": set()})
        application.router.add_post("/token", self.exchange.handle)
        return application


@pytest.fixture
async def gateway(tmp_path):
    async with Exchanging(tmp_path, require="[token]", route=ROUTE % "ISSUER/token") as gateway:
        yield gateway


async def test_the_upstream_gets_the_token_that_was_obtained(gateway):
    async with gateway.session() as session:
        bearer = gateway.bearer(sub="bob")
        for path in ("/one", "/two"):
            async with session.post(path, headers=bearer, data=b"x" * 100_000) as response:
                assert response.status == 200
                seen = await response.json()
            assert seen["body"] == "x" * 100_000
            scheme, _, obtained = seen["headers"]["Authorization"].partition(" ")
            claims = jwt.decode(obtained, gateway.issuer.key.public_key(), ["RS256"], audience="orders")
            assert (scheme, claims["sub"], claims["act"]) == ("Bearer", "bob", {"sub": "gateway"})
            assert seen["headers"]["Authorization"] not in bearer.values()
    assert len(gateway.exchange.asked) == 1


async def test_without_one_the_upstream_gets_nothing(gateway):
    def denied(_):
        raise ExchangeError("access_denied", 403)

    gateway.exchange.change = denied
    async with gateway.session() as session:
        async with session.get("/one", headers=gateway.bearer()) as response:
            assert response.status == 403
            assert (await response.json(content_type=None))["reason"] == "token-exchange-failed"
        await gateway.stop_issuer()
        async with session.get("/one", headers=gateway.bearer(sub="bob")) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
    assert gateway.seen == []
    await gateway.stop(signal.SIGTERM)
    line = gateway.access_log()[0]
    assert (line["reason"], line["token_subject"]) == ("token-exchange-failed", "alice")
