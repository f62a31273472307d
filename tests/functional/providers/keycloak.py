"""Keycloak with people who log in: codes, refresh tokens, logout, step-up by a second factor.

It takes half a minute to start, so a file's tests share one; what it holds outlives `stop` and `start`.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import shutil
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.functional.providers.provider import Application, Provider, User
from tests.pki import Authority, client_context

DIST = Path(__file__).parent.parent / "keycloak" / ".build"
SECOND_FACTOR: Final = "gold"
"""What `acr_values` may ask for beside `silver`, which a password reaches."""
_ADMIN: Final = ("admin", "admin-password")
_READY = b"Listening on: https://"

needs_keycloak = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="needs Java >= 17: apt-get install default-jre-headless"),
    pytest.mark.skipif(not (DIST / "ready").exists(), reason="needs sh tests/functional/keycloak/fetch.sh"),
]


class Keycloak(Provider):
    """One realm, `ztproxy`, with the applications as its clients; groups are told without being asked for."""

    scope = "openid email profile"

    def __init__(self, folder: Path, authority: Authority, applications: Sequence[Application] = ()) -> None:
        super().__init__(folder, authority, applications)
        self._authority = authority
        self._reading: asyncio.Task[None] | None = None
        for part in ("lib", "providers", "conf", "themes"):
            (self.folder / part).symlink_to(DIST / part)
        realm = self.folder / "data" / "import"
        realm.mkdir(parents=True)
        (realm / "ztproxy-realm.json").write_text(json.dumps(_realm(self.applications, self.users.values())))
        names = sorted({"localhost", "app.localhost", "other.localhost", "login.localhost"})
        (self.folder / "hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in names))

    @property
    def issuer(self) -> str:
        return f"https://localhost:{self.port}/realms/ztproxy"

    async def start(self) -> None:
        home = str(self.folder)
        self._process = await asyncio.create_subprocess_exec(
            "java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Dkc.home.dir={home}", f"-Djboss.server.config.dir={home}/conf", f"-Djdk.net.hosts.file={home}/hosts",
            "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
            "-cp", f"{home}/lib/quarkus-run.jar", "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
            "start", "--optimized", "--import-realm", "--cache=local", "--http-host=127.0.0.1",
            f"--https-port={self.port}", f"--hostname=https://localhost:{self.port}", "--http-enabled=false",
            f"--https-certificate-file={self.certificate}", f"--https-certificate-key-file={self.key}",
            f"--truststore-paths={self.authorities}",
            env={**os.environ, "KC_BOOTSTRAP_ADMIN_USERNAME": _ADMIN[0], "KC_BOOTSTRAP_ADMIN_PASSWORD": _ADMIN[1]},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(600):
            while _READY not in (line := await self._line()):
                if not line:
                    raise RuntimeError(f"Keycloak ended\n{self.said()}")
        self._reading = asyncio.create_task(self._read_on())

    async def stop(self) -> None:
        await super().stop()
        if self._reading is not None:
            await self._reading

    async def rotate(self) -> None:
        path = f"https://localhost:{self.port}"
        key = {
            "name": f"rsa {time.time_ns()}",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": [str(int(time.time()))], "algorithm": ["RS256"]},
        }
        connector = aiohttp.TCPConnector(ssl=client_context(self._authority), force_close=True)
        async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:
            grant = {"grant_type": "password", "client_id": "admin-cli", "username": _ADMIN[0], "password": _ADMIN[1]}
            async with session.post(f"{path}/realms/master/protocol/openid-connect/token", data=grant) as response:
                token = (await response.json())["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            async with session.post(f"{path}/admin/realms/ztproxy/components", json=key, headers=headers):
                pass

    async def _line(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("not running")
        line = await self._process.stdout.readline()
        with (self.folder / "log").open("ab") as log:
            log.write(line)
        return line

    async def _read_on(self) -> None:
        while await self._line():
            pass


def one_time_code(user: User, now: float) -> str:
    """The user's code at a time (RFC 6238), in seconds since 1970."""
    digest = hmac.digest(_seed(user), struct.pack(">Q", int(now) // 30), "sha1")
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place : place + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


def _seed(user: User) -> bytes:
    return base64.b32encode(hashlib.sha256(user.name.encode()).digest()[:10])


def _realm(applications: Sequence[Application], users: Any) -> dict[str, Any]:
    return {
        "realm": "ztproxy",
        "enabled": True,
        "sslRequired": "all",
        "revokeRefreshToken": True,
        "attributes": {"acr.loa.map": json.dumps({"silver": 1, SECOND_FACTOR: 2})},
        "groups": [{"name": name} for name in sorted({name for user in users for name in user.groups})],
        "users": [_user(user) for user in users],
        "clients": [_client(application) for application in applications],
        "browserFlow": "stepped",
        "authenticationFlows": _flows(),
        "authenticatorConfig": [
            {"alias": f"level {level}", "config": {"loa-condition-level": str(level), "loa-max-age": "36000"}}
            for level in (1, 2)
        ],
    }


def _user(user: User) -> dict[str, Any]:
    otp = {"subType": "totp", "digits": 6, "counter": 0, "period": 30, "algorithm": "HmacSHA1"}
    return {
        "username": user.name,
        "enabled": True,
        "email": user.email,
        "emailVerified": True,
        "firstName": user.name.title(),
        "lastName": "Tester",
        "groups": list(user.groups),
        "credentials": [
            {"type": "password", "value": user.password, "temporary": False},
            {
                "type": "otp",
                "secretData": json.dumps({"value": _seed(user).decode()}),
                "credentialData": json.dumps(otp),
            },
        ],
    }


def _client(application: Application) -> dict[str, Any]:
    mapped = {"access.token.claim": "true", "id.token.claim": "true", "userinfo.token.claim": "true"}
    attributes = {
        "post.logout.redirect.uris": "##".join(application.post_logout_redirect_uris),
        "pkce.code.challenge.method": "S256",
        "backchannel.logout.session.required": "true",
    }
    if application.backchannel_logout_uri is not None:
        attributes["backchannel.logout.url"] = application.backchannel_logout_uri
    return {
        "clientId": application.client_id,
        "secret": application.secret,
        "redirectUris": list(application.redirect_uris),
        "standardFlowEnabled": True,
        "frontchannelLogout": False,
        "attributes": attributes,
        "protocolMappers": [
            {
                "name": "groups",
                "protocol": "openid-connect",
                "protocolMapper": "oidc-group-membership-mapper",
                "config": mapped | {"claim.name": "groups", "full.path": "false"},
            },
            {
                "name": "audience",
                "protocol": "openid-connect",
                "protocolMapper": "oidc-audience-mapper",
                "config": {"included.custom.audience": "ztproxy", "access.token.claim": "true"},
            },
        ],
    }


def _flows() -> list[dict[str, Any]]:
    """The cookie, or a password, and a second factor where the level is asked for."""
    levels = [("level 1", "auth-username-password-form"), ("level 2", "auth-otp-form")]
    subflows = [
        _flow(alias, [
            _execution("conditional-level-of-authentication", "REQUIRED", authenticatorConfig=alias),
            _execution(form, "REQUIRED"),
        ])
        for alias, form in levels
    ]  # fmt: skip
    return [
        _flow("stepped", [_execution("auth-cookie", "ALTERNATIVE"), _subflow("forms", "ALTERNATIVE")], top=True),
        _flow("forms", [_subflow(alias, "CONDITIONAL") for alias, _ in levels]),
        *subflows,
    ]


def _flow(alias: str, executions: Sequence[dict[str, Any]], *, top: bool = False) -> dict[str, Any]:
    numbered = [{**one, "priority": (place + 1) * 10} for place, one in enumerate(executions)]
    return {
        "alias": alias,
        "providerId": "basic-flow",
        "topLevel": top,
        "builtIn": False,
        "authenticationExecutions": numbered,
    }


def _execution(authenticator: str, requirement: str, **further: str) -> dict[str, Any]:
    return {"authenticator": authenticator, "requirement": requirement, "authenticatorFlow": False, **further}


def _subflow(alias: str, requirement: str) -> dict[str, Any]:
    return {"flowAlias": alias, "requirement": requirement, "authenticatorFlow": True}
