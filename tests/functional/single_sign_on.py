"""The running program as people meet it: two applications, a login host, and an identity provider to log in at.

provider = OpenIdProvider(folder, authority, applications(port))
async with provider, SingleSignOn(folder, provider, authority, port) as sites: sites.app, sites.other, sites.login
"""

from html import escape
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.functional.gateway import Gateway
from tests.functional.providers.provider import Application, Provider
from tests.pki import Authority

OWN = "/.well-known/ztproxy"
HOSTS = ("app", "other", "login")
POLICY = """\
package ztproxy.authz

stronger := {{"allow": false, "step_up": {{"acr_values": ["{second_factor}"]}}}}

decision := stronger if {{
	input.request.segments[0] == "pay"
	object.get(input.token.claims, "acr", "") != "{second_factor}"
}} else := {{"allow": false, "reasons": ["administrators only"]}} if {{
	input.request.segments[0] == "admin"
	not "admins" in object.get(input.token.claims, "groups", [])
}} else := {{"allow": true}}
"""
CONFIGURATION = """\
version: 1
listeners:
  - {{address: "127.0.0.1:{port}", certificates: [{{certificate: gateway.pem, key: gateway.key}}]}}
issuers:
  - {{issuer: "{issuer}", audiences: [ztproxy], algorithms: [RS256], authorities: [ca.pem]}}
login:
  - issuer: "{issuer}"
    client_id: gateway
    client_secret: {{file: secret}}
    scopes: [{scopes}]
{login}
sessions: {{storage: "sqlite:var/sessions.db"}}
policy: {{path: policies, show_reasons: true, deadline: 1s}}
routes:
  - name: app
    hosts: [app.localhost, other.localhost, login.localhost]
    require: [token]
    login: "{issuer}"
    upstream: {{servers: ["http://127.0.0.1:{backend}"]}}
logs: {{access: access.log}}
"""
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><main><h1>{title}</h1>{body}</main></body></html>"""

FORM = """<form method="post" action="/saved"><label>Note <input name="note"></label><button>Save</button></form>"""


def applications(port: int) -> list[Application]:
    """The program as its provider knows it."""
    hosts = [f"https://{name}.localhost:{port}" for name in HOSTS]
    return [
        Application(
            "gateway",
            redirect_uris=tuple(f"{host}{OWN}/callback" for host in hosts),
            post_logout_redirect_uris=tuple(f"{host}{OWN}/logged-out" for host in hosts),
            backchannel_logout_uri=f"https://app.localhost:{port}{OWN}/backchannel-logout",
            further={"require_auth_time": True},
        )
    ]


class SingleSignOn(Gateway):
    """The program, and behind it an application that shows what it was asked for, and has a form."""

    def __init__(  # noqa: PLR0917 - in the order in which they are made
        self, folder: Path, provider: Provider, ca: Authority, port: int, second_factor: str, login: str = ""
    ) -> None:
        super().__init__(folder, ca, rego=POLICY.format(second_factor=second_factor), start_issuer="no")
        self._provider = provider
        self._login = login.replace("PORT", str(port))
        self._port = port
        self.app, self.other, self.login = (f"https://{name}.localhost:{port}" for name in HOSTS)

    async def start(self) -> None:
        self.ca.server("localhost", *(f"{name}.localhost" for name in HOSTS)).write(self.folder, "gateway")
        secret = self.folder / "secret"
        secret.write_text(self._provider.applications[0].secret)
        secret.chmod(0o600)
        said = CONFIGURATION.format(
            port=self._port,
            issuer=self._provider.issuer,
            backend=self.backend_port,
            scopes=self._provider.scope.replace(" ", ", "),
            login=self._login,
        )
        (self.folder / "z.yaml").write_text(said)
        await super().start()

    def _backend_application(self) -> web.Application:
        async def show(request: web.Request) -> web.Response:
            seen: dict[str, Any] = {"path": request.path_qs, "cookies": request.headers.getall("Cookie", [])}
            if request.method == "POST":
                seen["form"] = dict(await request.post())
            self.seen.append(seen)
            title = "Saved" if request.method == "POST" else "Application"
            body = f"<p>{escape(request.path_qs)}</p>"
            if request.path == "/form":
                body = FORM
            return web.Response(text=PAGE.format(title=title, body=body), content_type="text/html")

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", show)
        return application
