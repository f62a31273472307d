"""Everything that the demo makes, in one folder, and the proxy in front of it: the same code as `ztproxy run`."""

import contextlib
import datetime as dt
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

import msgspec

from ztproxy.config.loading import load
from ztproxy.demo.issuer import AUDIENCE, USERS, Issuer
from ztproxy.demo.people import PORTAL
from ztproxy.demo.pki import Authority
from ztproxy.demo.services import Service
from ztproxy.serve import Server

_MARK = ".ztproxy-demo"
_CONFIGURATION = """\
# Made by `ztproxy demo`; `ztproxy run` refuses it, because it trusts the demo's authority and issuer.
version: 1
listeners:
  - address: 127.0.0.1:{port}
    certificates:
      - {{certificate: pki/gateway.pem, key: pki/gateway.key}}
    client_certificates: {{authorities: [pki/authority.pem], mode: optional}}
issuers:
  - {{issuer: "{issuer}", audiences: [{audience}], algorithms: [RS256], authorities: [pki/authority.pem], leeway: 5s}}
login:
  - {{issuer: "{issuer}", client_id: {portal}, client_authentication: none, scopes: [openid, profile]}}
policy: {{path: policies, show_reasons: true, deadline: 1s}}
limits:
  rules:
    - {{key: source.address, rate: 200/second, burst: 400}}
routes:
  - name: orders
    hosts: [localhost]
    paths: [/orders/]
    require: [certificate, token]
    policy_headers: [X-Role]
    upstream: {{servers: ["http://127.0.0.1:{orders}"]}}
  - name: portal
    hosts: [localhost]
    paths: [/portal/]
    login: "{issuer}"
    require: [token]
    policy_headers: [X-Role]
    upstream: {{servers: ["http://127.0.0.1:{orders}"]}}
  - name: payroll
    hosts: [localhost]
    paths: [/payroll/]
    require: [certificate, token]
    limits:
      - {{key: [token.subject, route], rate: 5/minute, burst: 5}}
    policy_headers: [X-Role]
    upstream:
      servers: ["https://127.0.0.1:{payroll}"]
      tls: {{authorities: [pki/authority.pem], certificate: pki/proxy.pem, key: pki/proxy.key, server_name: localhost}}
assertion: {{key: var/assertion.key, issuer: "https://localhost:{port}"}}
logs: {{access: var/access.log, decisions: var/decisions.db}}
"""


class FolderError(Exception):
    """The folder cannot be the demo's."""


class World(msgspec.Struct, frozen=True):
    """The running demo: where it is, and who can ask."""

    folder: Path
    url: str
    port: int
    issuer: Issuer
    server: Server

    def token_file(self, name: str) -> Path:
        """Where the token of a user, or `expired`, stands."""
        return self.folder / "tokens" / name


@contextlib.asynccontextmanager
async def running(folder: Path, port: int) -> AsyncIterator[World]:
    """Make everything, run it, and stop it at the end; the folder stays for a look.

    Args:
        folder: made anew; one that holds anything else than an earlier demo is refused with `FolderError`.
        port: of the proxy, on 127.0.0.1; 0 for any that is free.
    """
    _clear(folder)
    authority = Authority(folder / "pki", dt.datetime.now(dt.UTC))
    for name in ("gateway", "issuer", "orders", "payroll"):
        authority.issue(name, server=True)
    for name in ("proxy", *USERS):
        authority.issue(name, server=False)
    async with contextlib.AsyncExitStack() as stack:
        issuer = Issuer(free_port())
        stack.push_async_callback(issuer.close)
        await issuer.start(_server_context(folder / "pki", "issuer"))
        orders, payroll = Service("orders"), Service("payroll")
        for service, context in ((orders, None), (payroll, _server_context(folder / "pki", "payroll", mutual=True))):
            stack.push_async_callback(service.close)
            await service.start(context)
        port = port or free_port()
        issuer.people.redirect_uri = f"https://localhost:{port}/.well-known/ztproxy/callback"
        _write(folder, issuer, port, orders.port, payroll.port)
        server = await Server.start(load(folder / "ztproxy.yaml"), demonstration=True)
        stack.push_async_callback(server.close)
        yield World(folder, f"https://localhost:{port}", port, issuer, server)


def _clear(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise FolderError(f"{folder} holds something else than an earlier demo; name another with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    (folder / _MARK).write_text("Made by `ztproxy demo`, which deletes and makes it anew at every start.\n")


def _write(folder: Path, issuer: Issuer, port: int, orders: int, payroll: int) -> None:
    shutil.copytree(Path(str(resources.files("ztproxy.demo") / "policies")), folder / "policies")
    (folder / "tokens").mkdir(mode=0o700)
    for user, claims in USERS.items():
        (folder / "tokens" / user).write_text(issuer.token(user, claims["role"]))
    (folder / "tokens" / "expired").write_text(issuer.token("ada", "clerk", lifetime=-3600))
    text = _CONFIGURATION.format(
        port=port, issuer=issuer.url, audience=AUDIENCE, portal=PORTAL, orders=orders, payroll=payroll
    )
    (folder / "ztproxy.yaml").write_text(text)


def _server_context(pki: Path, name: str, *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / f"{name}.pem", pki / f"{name}.key")
    if mutual:
        context.load_verify_locations(pki / "authority.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def free_port(wanted: int = 0) -> int:
    """A port of loopback that nobody listens on: the wanted one if it is free, else any."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise FolderError("no port of loopback is free")
