"""What tests know of an identity provider: its people, the applications that log them in, and how it is run.

    async with OpenIdProvider(folder, authority, [Application("app", redirect_uris=(callback,))]) as provider:
        provider.issuer, provider.authorities          # for the program's configuration
        await provider.stop(); await provider.start()  # killed, and back under the same address with what it keeps

`openid_provider.OpenIdProvider` (oidc-provider, certified) and `keycloak.Keycloak` are run like this.
"""

import abc
import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from tests.functional.ports import free_port
from tests.pki import Authority


@dataclass(frozen=True)
class User:
    """Somebody who can log in; `code` is the second factor, where the provider knows one."""

    name: str
    groups: tuple[str, ...] = ()
    code: str = "123456"

    @property
    def password(self) -> str:
        return f"{self.name}-password"

    @property
    def email(self) -> str:
        return f"{self.name}@corp.example"


ALICE: Final = User("alice", ("staff", "admins"))
BOB: Final = User("bob", ("staff",))
MALLORY: Final = User("mallory")
USERS: Final = (ALICE, BOB, MALLORY)


@dataclass(frozen=True)
class Application:
    """A client of the provider: what logs people in, or asks about tokens. Names are those of RFC 7591 and RFC 8705."""

    client_id: str
    redirect_uris: tuple[str, ...] = ()
    secret: str = "application-secret"
    authentication: str = "client_secret_basic"
    """How it authenticates: `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `tls_client_auth`,
    `self_signed_tls_client_auth` or `none`."""
    jwks: Mapping[str, Any] | None = None
    """Its keys, for `private_key_jwt`; with `x5c`, for `self_signed_tls_client_auth`."""
    certificate_dns: str | None = None
    """The DNS name in its certificate, for `tls_client_auth`."""
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None
    grants: tuple[str, ...] = ("authorization_code", "refresh_token")
    further: Mapping[str, Any] = field(default_factory=dict)
    """Metadata that this type does not name: `dpop_bound_access_tokens`, `require_auth_time`."""


class Provider(abc.ABC):
    """A process that listens on loopback over TLS, on a port that stays the same over `stop` and `start`."""

    authorities: Path
    """PEM: who vouches for its TLS certificate."""
    scope = "openid email profile groups"
    """What to ask for so that all is told."""

    def __init__(self, folder: Path, authority: Authority, applications: Sequence[Application]) -> None:
        self.folder = folder / type(self).__name__.lower()
        self.folder.mkdir()
        self.port = free_port()
        self.applications = tuple(applications)
        self.users = {user.name: user for user in USERS}
        self.authorities = authority.write(self.folder, "ca")
        self.certificate, self.key = authority.server().write(self.folder, "server")
        self._process: asyncio.subprocess.Process | None = None

    @property
    @abc.abstractmethod
    def issuer(self) -> str:
        """Its name, an https address."""

    @abc.abstractmethod
    async def start(self) -> None:
        """Run it and wait until it answers."""

    @abc.abstractmethod
    async def rotate(self) -> None:
        """Let it sign with a new key; the old one is still published."""

    async def stop(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def said(self) -> str:
        """What it wrote to its log, of all its runs."""
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""
