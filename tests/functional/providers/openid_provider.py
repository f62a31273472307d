"""`oidc-provider` (npm, certified) with people who log in, and all that clients may ask of it."""

import asyncio
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.functional.providers.provider import Application, Provider, User
from tests.pki import Authority

SCRIPTS = Path(__file__).parent.parent / "oidc-provider"
PASSWORD: Final = "urn:ztproxy:test:password"
SECOND_FACTOR: Final = "urn:ztproxy:test:second-factor"
"""What `acr_values` may ask for: a second factor is the user's code on the login page."""

needs_openid_provider = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs node >= 20: apt-get install nodejs"),
    pytest.mark.skipif(not (SCRIPTS / "node_modules").exists(), reason=f"needs npm ci --prefix {SCRIPTS}"),
]


class OpenIdProvider(Provider):
    """Settings beside the applications:

    Args:
        folder: where its files go, in a folder of its own.
        authority: vouches for its certificate, and for those of clients with `tls_client_auth`.
        applications: its clients.
        access_tokens: `jwt` (RFC 9068) or `opaque`, for introspection; of no meaning without an audience.
        audience: whom access tokens are for; None: for its own userinfo endpoint alone, opaque.
        consent: whether people are asked what an application may see; else it is agreed to for them.
        dpop_nonces: whether proofs must carry a nonce of its own (RFC 9449 §8).
        pkce: whether each client must use it (RFC 7636).
        lifetimes: seconds: AccessToken, IdToken, RefreshToken, Session.
    """

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        applications: Sequence[Application] = (),
        *,
        access_tokens: str = "jwt",
        audience: str | None = "ztproxy",
        consent: bool = False,
        dpop_nonces: bool = False,
        pkce: bool = True,
        lifetimes: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(folder, authority, applications)
        self.settings: dict[str, Any] = {
            "certificate": str(self.certificate),
            "key": str(self.key),
            "authorities": str(self.authorities),
            "port": self.port,
            "clients": [metadata(application) for application in applications],
            "users": {user.name: person(user) for user in self.users.values()},
            "accessTokens": access_tokens,
            "audience": audience,
            "consent": consent,
            "dpopNonces": dpop_nonces,
            "pkce": pkce,
            "lifetimes": dict(lifetimes or {}),
        }

    @property
    def issuer(self) -> str:
        return f"https://localhost:{self.port}"

    async def start(self) -> None:
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps(self.settings))
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "node",
                SCRIPTS / "openid.js",
                settings,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "NODE_EXTRA_CA_CERTS": str(self.authorities)},
            )
        await self._until(self.issuer)

    async def rotate(self) -> None:
        await self._command("rotate")

    async def forget(self) -> None:
        """Publish the newest key alone."""
        await self._command("forget")

    async def back_channel_logout(self, client_id: str, subject: str, sid: str = "-") -> None:
        """Send the client a logout token, as if the person had logged out here."""
        await self._command(f"logout {client_id} {subject} {sid}")

    async def groups(self, user: User, *groups: str) -> None:
        """From now on the user is in these groups."""
        await self._command(" ".join(("groups", user.name, *groups)))

    async def _command(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("not running")
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()
        await self._until(f"{line} done")

    async def _until(self, expected: str) -> None:
        """Wait for a line of its output; any other that says `failed` is an error."""
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("not running")
        async with asyncio.timeout(30):
            while (line := (await self._process.stdout.readline()).decode()) != f"{expected}\n":
                if not line or " failed: " in line:
                    raise RuntimeError(f"the identity provider {line.strip() or 'ended'}\n{self.said()}")


def person(user: User) -> dict[str, Any]:
    """A user as the script knows one."""
    claims = {
        "email": user.email,
        "email_verified": True,
        "name": user.name.title(),
        "preferred_username": user.name,
        "groups": user.groups,
    }
    return {"password": user.password, "code": user.code, "claims": claims}


def metadata(application: Application) -> dict[str, Any]:
    """An application's metadata (RFC 7591 §2, RFC 8705 §2)."""
    found: dict[str, Any] = {
        "client_id": application.client_id,
        "redirect_uris": application.redirect_uris,
        "grant_types": application.grants,
        "response_types": ["code"] if application.redirect_uris else [],
        "token_endpoint_auth_method": application.authentication,
        "post_logout_redirect_uris": application.post_logout_redirect_uris,
    }
    if application.authentication.startswith("client_secret"):
        found["client_secret"] = application.secret
    if application.jwks is not None:
        found["jwks"] = application.jwks
    if application.certificate_dns is not None:
        found["tls_client_auth_san_dns"] = application.certificate_dns
    if application.backchannel_logout_uri is not None:
        found["backchannel_logout_uri"] = application.backchannel_logout_uri
        found["backchannel_logout_session_required"] = True
    return found | dict(application.further)
