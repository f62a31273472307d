"""Keycloak exchanges callers' tokens as we ask it to, and refuses as we understand it."""

import signal
import time

import aiohttp
import jwt

from tests.functional.gateway import Gateway
from tests.functional.providers.keycloak import Keycloak, needs_keycloak, one_time_code
from tests.functional.providers.provider import ALICE
from tests.pki import Authority, client_context

pytestmark = needs_keycloak

AUDIENCE = "oidc-audience-mapper"
ISSUERS = """\
issuers:
  - issuer: "%s"
    audiences: [ztproxy]
    authorities: [ca.pem]
    groups: {map: {staff: people}, roles: {reader: [people]}}
"""
ROUTE = """\
    token_exchange: {client_id: gateway, client_secret: {file: secret}, audience: [%s]}
    assertion: {claims: {groups: token.groups, roles: token.roles}}"""


def audience(name, **config):
    return {
        "name": name,
        "protocol": "openid-connect",
        "protocolMapper": AUDIENCE,
        "config": config | {"access.token.claim": "true"},
    }


GROUPS = {
    "name": "groups",
    "protocol": "openid-connect",
    "protocolMapper": "oidc-group-membership-mapper",
    "config": {"access.token.claim": "true", "claim.name": "groups", "full.path": "false"},
}
CLIENTS = [
    {"clientId": "orders", "secret": "unused", "standardFlowEnabled": False},
    {
        "clientId": "gateway",
        "secret": "geheim",
        "standardFlowEnabled": False,
        "attributes": {"standard.token.exchange.enabled": "true"},
        "protocolMappers": [audience("orders", **{"included.client.audience": "orders"})],
    },
    {
        "clientId": "caller",
        "publicClient": True,
        "directAccessGrantsEnabled": True,
        "protocolMappers": [
            audience("gateway", **{"included.client.audience": "gateway"}),
            audience("ztproxy", **{"included.custom.audience": "ztproxy"}),
            GROUPS,
        ],
    },
]


class Behind(Gateway):
    """A gateway that trusts Keycloak, and exchanges there."""

    keycloak: Keycloak

    async def start(self) -> None:
        written = self.folder / "z.yaml"
        before, _, rest = written.read_text().partition("issuers:\n")
        written.write_text(before + ISSUERS % self.keycloak.issuer + rest.partition("\n")[2])
        (self.folder / "secret").write_text("geheim")
        (self.folder / "secret").chmod(0o600)
        await super().start()


async def token(session, url, **form):
    async with session.post(url, data={"grant_type": "password", **form}) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return answer["access_token"]


async def test_keycloak_exchanges(tmp_path):
    authority = Authority.new("Keycloak's Root")
    folder = tmp_path / "keycloak"
    folder.mkdir()
    async with (
        Keycloak(folder, authority) as keycloak,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client_context(authority))) as session,
    ):
        root = f"https://localhost:{keycloak.port}"
        admin = {"client_id": "admin-cli", "username": "admin", "password": "admin-password"}
        bearer = await token(session, f"{root}/realms/master/protocol/openid-connect/token", **admin)
        for client in CLIENTS:
            headers = {"Authorization": f"Bearer {bearer}"}
            async with session.post(f"{root}/admin/realms/ztproxy/clients", json=client, headers=headers) as response:
                assert response.status == 201, await response.text()
        caller = await token(
            session,
            f"{keycloak.issuer}/protocol/openid-connect/token",
            client_id="caller",
            username=ALICE.name,
            password=ALICE.password,
            totp=one_time_code(ALICE, time.time()),
        )
        outcomes = []
        for target in ("orders", "nobody"):
            gateway = Behind(tmp_path / target, authority, require="[token]", route=ROUTE % target)
            gateway.folder.mkdir()
            gateway.keycloak = keycloak
            async with gateway:
                headers = {"Authorization": f"Bearer {caller}"}
                async with gateway.session() as asking, asking.get("/x", headers=headers) as response:
                    outcomes.append((response.status, await response.json(content_type=None), gateway.access_log))
                if target == "nobody":
                    assert gateway.seen == []
                    await gateway.stop(signal.SIGTERM)
        status, seen, _ = outcomes[0]
        assert status == 200, seen
        obtained = seen["headers"]["Authorization"].removeprefix("Bearer ")
        assert obtained != caller
        claims, own = (jwt.decode(one, options={"verify_signature": False}) for one in (obtained, caller))
        assert (claims["aud"], claims["azp"], claims["sub"]) == ("orders", "gateway", own["sub"])
        told = jwt.decode(seen["headers"]["X-Ztproxy-Assertion"], options={"verify_signature": False})
        assert (told["sub"], told["token_issuer"]) == (own["sub"], keycloak.issuer)
        assert (told["groups"], told["roles"]) == (["people"], ["reader"])
        status, problem, log = outcomes[1]
        assert (status, problem["reason"]) in [(502, "token-exchange-failed"), (403, "token-exchange-failed")]
        assert log()[0]["reason"] == "token-exchange-failed"
