"""People log in through the running program, at a certified provider, and out again."""

import contextlib
from pathlib import Path
from typing import Any

from tests.functional.gateway import Gateway
from tests.functional.ports import free_port
from tests.functional.providers.openid_provider import SECOND_FACTOR, OpenIdProvider, needs_openid_provider
from tests.functional.providers.provider import ALICE, BOB, Application
from tests.functional.providers.visitor import Visitor

pytestmark = needs_openid_provider

POLICY = f"""\
package ztproxy.authz

decision := {{"allow": false, "step_up": {{"acr_values": ["{SECOND_FACTOR}"]}}}} if {{
	input.request.segments[0] == "pay"
	object.get(input.token.claims, "acr", "") != "{SECOND_FACTOR}"
}} else := {{"allow": false, "reasons": ["administrators only"]}} if {{
	input.request.segments[0] == "admin"
	not "admins" in input.token.claims.groups
}} else := {{"allow": true}}
"""
CONFIGURATION = """\
version: 1
listeners:
  - {{address: "127.0.0.1:{port}", certificates: [{{certificate: gateway.pem, key: gateway.key}}]}}
issuers:
  - {{issuer: "{issuer}", audiences: [ztproxy], algorithms: [RS256], authorities: [ca.pem]}}
login:
  - {{issuer: "{issuer}", client_id: gateway, client_secret: {{file: secret}}, scopes: [{scopes}]{login}}}
sessions: {{storage: "sqlite:var/sessions.db"}}
policy: {{path: policies, show_reasons: true, deadline: 1s}}
routes:
  - name: app
    hosts: [localhost, app.localhost, other.localhost, login.localhost]
    require: [token]
    login: "{issuer}"
    upstream: {{servers: ["http://127.0.0.1:{backend}"]}}
logs: {{access: access.log}}
workers: {workers}
"""


class LoginGateway(Gateway):
    """The program in front of `app.localhost`, with a provider."""

    def __init__(self, folder: Path, issuer: str, port: int, ca: Any, **options: str) -> None:
        super().__init__(folder, ca, rego=POLICY, start_issuer="no")
        self._said = {"issuer": issuer, "port": port, "workers": "1", "login": "", **options}
        self.base = f"https://app.localhost:{port}"

    async def start(self) -> None:
        self.ca.server("localhost", "*.localhost", "app.localhost", "other.localhost", "login.localhost").write(
            self.folder, "gateway"
        )
        secret = self.folder / "secret"
        secret.write_text("application-secret")
        secret.chmod(0o600)
        scopes = "openid, email, profile, groups, offline_access"
        said = CONFIGURATION.format(backend=self.backend_port, scopes=scopes, **self._said)
        (self.folder / "z.yaml").write_text(said)
        await super().start()


@contextlib.asynccontextmanager
async def running(folder: Path, lifetimes: dict[str, int] | None = None, **options: str):
    from tests.pki import Authority

    ca, port = Authority.new("Login Test Root"), free_port()
    hosts = [f"https://{name}.localhost:{port}" for name in ("app", "other", "login")]
    own = "/.well-known/ztproxy"
    application = Application(
        "gateway",
        redirect_uris=tuple(f"{host}{own}/callback" for host in hosts),
        post_logout_redirect_uris=tuple(f"{host}{own}/logged-out" for host in hosts),
        backchannel_logout_uri=f"https://localhost:{port}{own}/backchannel-logout",
        further={"require_auth_time": True, "backchannel_logout_session_required": False},
    )
    async with OpenIdProvider(folder, ca, [application], lifetimes=lifetimes) as provider:
        options = {name: value.replace("PORT", str(port)) for name, value in options.items()}
        async with LoginGateway(folder, provider.issuer, port, ca, **options) as gateway:
            yield gateway, provider, lambda: Visitor(ca)


async def test_a_login_and_a_logout(tmp_path):
    async with running(tmp_path) as (gateway, provider, visitor), visitor() as alice:
        page = await alice.open(f"{gateway.base}/x?y=1")
        assert str(page.url).startswith(provider.issuer)
        page = await alice.log_in(page, ALICE)
        assert (page.status, str(page.url)) == (200, f"{gateway.base}/x?y=1")
        assert "__Host-ztproxy-id" not in page.text
        assert [name for name in alice.cookies(gateway.base) if "login" in name] == []
        sent = await alice.open(f"{gateway.base}/.well-known/ztproxy/logout")
        assert "Alice" in sent.text
        page = await alice.submit(sent, {})
        if str(page.url).startswith(provider.issuer):
            page = await alice.submit(page, {"logout": "yes"})
        assert "You are signed out" in page.text
        page = await alice.open(f"{gateway.base}/x")
        assert str(page.url).startswith(provider.issuer)


async def test_who_may_not_is_told_so_and_takes_another_account(tmp_path):
    async with running(tmp_path) as (gateway, provider, visitor), visitor() as person:
        page = await person.log_in(await person.open(f"{gateway.base}/admin/x"), BOB)
        assert page.status == 403
        assert "administrators only" in page.text
        assert "Bob" in page.text
        page = await person.submit(page, {})
        assert str(page.url).startswith(provider.issuer)
        page = await person.log_in(page, ALICE)
        if str(page.url).startswith(provider.issuer):  # it asks whether to let the one before go
            page = await person.submit(page, {"logout": "yes"})
        assert (page.status, str(page.url)) == (200, f"{gateway.base}/admin/x")


async def test_a_step_up(tmp_path):
    async with running(tmp_path) as (gateway, provider, visitor), visitor() as alice:
        await alice.log_in(await alice.open(f"{gateway.base}/"), ALICE)
        before = alice.cookies(gateway.base)["__Host-ztproxy-id"]
        page = await alice.open(f"{gateway.base}/pay/1")
        assert str(page.url).startswith(provider.issuer)
        page = await alice.log_in(page, ALICE, code=True)
        assert (page.status, str(page.url)) == (200, f"{gateway.base}/pay/1")
        assert alice.cookies(gateway.base)["__Host-ztproxy-id"] != before


async def test_workers_share_sessions_and_a_restart_keeps_them(tmp_path):
    async with running(tmp_path, workers="2") as (gateway, _, visitor), visitor() as alice:
        await alice.log_in(await alice.open(f"{gateway.base}/"), ALICE)
        for _ in range(8):
            assert (await alice.open(f"{gateway.base}/")).status == 200
        import signal

        assert await gateway.stop(signal.SIGTERM) == 0
        await gateway.start()
        page = await alice.open(f"{gateway.base}/again")
        assert (page.status, str(page.url)) == (200, f"{gateway.base}/again")


async def test_the_provider_logs_somebody_out(tmp_path):
    async with running(tmp_path) as (gateway, provider, visitor), visitor() as alice:
        await alice.log_in(await alice.open(f"{gateway.base}/"), ALICE)
        await provider.back_channel_logout("gateway", "alice")
        page = await alice.open(f"{gateway.base}/")
        assert any(str(url).startswith(provider.issuer) for url in page.passed)


async def test_one_host_logs_people_in_for_all(tmp_path):
    login = ', host: "login.localhost:PORT"'
    async with running(tmp_path, login=login) as (gateway, provider, visitor), visitor() as alice:
        page = await alice.log_in(await alice.open(f"{gateway.base}/x"), ALICE)
        assert (page.status, str(page.url)) == (200, f"{gateway.base}/x")
        other = gateway.base.replace("app.", "other.")
        page = await alice.open(f"{other}/y")
        assert (page.status, str(page.url)) == (200, f"{other}/y")
        assert not any(str(url).startswith(provider.issuer) for url in page.passed)
