"""The shape of the configuration file: what may be written, its defaults and its limits.

Immutable once read. Nothing here looks at the file system or the network: `ztproxy.config.loading` does, and makes
every path absolute.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from ztproxy.config.assertions import Assertion
from ztproxy.config.dpop import Binding, Dpop
from ztproxy.config.edge import Connections, Overload, Requests
from ztproxy.config.groups import Groups
from ztproxy.config.introspection import Introspection
from ztproxy.config.limits import Limits
from ztproxy.config.login import Login
from ztproxy.config.operation import Admin, Health, Reload, Workers
from ztproxy.config.policies import PolicySettings
from ztproxy.config.revocation import Revocation
from ztproxy.config.routes import Route
from ztproxy.config.section import Section
from ztproxy.config.sessions import Sessions
from ztproxy.config.spiffe import Spiffe
from ztproxy.config.spiffe_ids import SCHEME, TrustDomain, trust_domain
from ztproxy.config.values import (
    Address,
    AddressValue,
    Algorithm,
    Duration,
    InputFile,
    Network,
    OutputPath,
    UnixAddress,
    Url,
    User,
    parse_url,
)


def _issuer(value: str) -> str:
    return SCHEME + trust_domain(value) if value.startswith(SCHEME) else parse_url(value)


def _log_target(value: str, info: ValidationInfo) -> str:
    if value in ("stdout", "stderr", "off") or not info.context:
        return value
    return str(Path(info.context["base"], value))


LogTarget = Annotated[str, AfterValidator(_log_target)]
IssuerName = Annotated[str, AfterValidator(_issuer)]


class KeyPair(Section):
    """A certificate chain and its private key, PEM files."""

    certificate: InputFile
    """The certificate, followed by its intermediates."""
    key: InputFile
    """Its private key, unencrypted, readable by nobody else."""


class ClientCertificates(Section):
    """What a listener asks of client certificates."""

    authorities: tuple[InputFile, ...] = ()
    """PEM files of the authorities that may have issued them; never the system's."""
    trust_domains: tuple[TrustDomain, ...] = ()
    """Trust domains of `spiffe` whose workloads may come: an X509-SVID counts if its own trust domain's bundle vouches
    for it."""
    mode: Literal["required", "optional", "off"] = "off"
    """required: the handshake refuses. optional: each route decides. off: none is asked for."""
    crl: tuple[InputFile, ...] = ()
    """Revocation lists of these authorities, PEM or DER."""
    on_unknown: Literal["refuse", "allow"] = "refuse"
    """What happens when `crl` or `revocation` is configured and nothing current says whether a certificate was
    revoked."""
    revocation: tuple[Revocation, ...] = ()
    """By authority: where it is known which of its certificates are revoked, beside `crl`."""

    @field_validator("revocation")
    @classmethod
    def _each_once(cls, value: tuple[Revocation, ...]) -> tuple[Revocation, ...]:
        named = [one.authority for one in value]
        if twice := next((file for file in named if named.count(file) > 1), None):
            raise ValueError(f"{twice} is named twice: say all about an authority in one place")
        return value

    @model_validator(mode="after")
    def _authorities_where_asked(self) -> Self:
        if self.mode != "off" and not (self.authorities or self.trust_domains):
            raise ValueError(
                "client certificates are asked for, but no `authorities` are named that may issue them, "
                "and no `trust_domains`"
            )
        if self.mode == "off" and (self.authorities or self.crl or self.revocation or self.trust_domains):
            raise ValueError(
                "`authorities`, `trust_domains`, `crl` and `revocation` have no effect with `mode: off`; "
                "say `required` or `optional`"
            )
        return self


class Hsts(Section):
    """HTTP Strict Transport Security (RFC 6797)."""

    max_age: Duration
    include_subdomains: bool = False
    preload: bool = False


class Listener(Section):
    """A socket that clients connect to."""

    address: AddressValue
    """HOST:PORT or unix:/path."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """What routes call it in their `listeners`; its address when absent."""
    protocol: Literal["https", "http"] = "https"
    """http only on loopback or a Unix socket, unless it redirects or allow_plaintext is true."""
    allow_plaintext: bool = False
    """Serve plaintext on an address that is not loopback."""
    redirect_to_https: bool = False
    """Answer every request with a redirect to the same address under https; protocol http only."""
    redirect_port: int = Field(default=443, ge=1, le=65535)
    """The port redirected to."""
    certificates: tuple[KeyPair, ...] = ()
    """The first is the default; SNI picks among the rest."""
    svid: bool = False
    """Show our own X509-SVID (`spiffe`), alone or, as the default, beside `certificates`."""
    client_certificates: ClientCertificates = ClientCertificates()
    minimum_version: Literal["1.2", "1.3"] | None = None
    """TLS version; default 1.3 where client certificates are asked for, else 1.2."""
    trusted_proxies: tuple[Network, ...] = ()
    """X-Forwarded-For (rightmost untrusted) and -Proto are believed from these networks, nothing else."""
    proxy_protocol: bool = False
    """Every connection begins with a PROXY header (v1 or v2) that says who the client is; from `trusted_proxies` only,
    all others are closed. X-Forwarded-For then counts from the client that it names."""
    users: tuple[User, ...] = ()
    """Who may connect to a Unix socket, by name or number, as the kernel says who it is; anyone whom the socket's mode
    lets when empty."""
    hsts: Hsts | None = None
    """Strict-Transport-Security on every response of this listener."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.proxy_protocol and (isinstance(self.address, UnixAddress) or not self.trusted_proxies):
            raise ValueError(
                "`proxy_protocol` needs a TCP address, and `trusted_proxies` that may say who the client is"
            )
        if self.users and not isinstance(self.address, UnixAddress):
            raise ValueError("`users` belongs to a Unix socket: who connects over TCP the kernel does not say")
        if self.protocol == "https" and not (self.certificates or self.svid):
            raise ValueError("an https listener needs `certificates`, or `svid: true`")
        if self.protocol == "https" and self.redirect_to_https:
            raise ValueError("`redirect_to_https` belongs to a listener with `protocol: http`")
        if self.protocol == "http":
            if self.certificates or self.svid or self.client_certificates.mode != "off" or self.hsts:
                raise ValueError("`certificates`, `svid`, `client_certificates` and `hsts` belong to `protocol: https`")
            if not (self.redirect_to_https or self.allow_plaintext or is_local(self.address)):
                raise ValueError(
                    "plaintext on an address that is not loopback: use `protocol: https`, `redirect_to_https: true` "
                    "or say `allow_plaintext: true`"
                )
        return self

    @property
    def label(self) -> str:
        """What routes call it."""
        return self.name or str(self.address)


def is_published(route: Route, listener: Listener) -> bool:
    """Whether a listener has a route."""
    named = route.listeners
    return named is None or listener.label in named or str(listener.address) in named


def is_local(address: Address) -> bool:
    """Whether only this machine can connect: a Unix socket or a loopback address."""
    return isinstance(address, UnixAddress) or is_local_host(address.host)


def is_local_host(host: str) -> bool:
    """Whether a host is a loopback address, or the name for one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Issuer(Section):
    """An OIDC issuer, or a trust domain of `spiffe`, whose tokens are understood."""

    issuer: IssuerName
    """Exactly as in the tokens' `iss`; or spiffe://TRUST-DOMAIN, whose JWT-SVIDs are verified by its own bundle."""
    audiences: tuple[str, ...] = Field(min_length=1)
    """A token must name one of them in `aud`."""
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "ES256"), min_length=1)
    """Allowed signature algorithms; the token's own word is never enough."""
    jwks_uri: Url | None = None
    """Where its keys are; OIDC discovery when absent."""
    authorities: tuple[InputFile, ...] = ()
    """PEM files to verify its TLS certificate with; the system's trust when absent."""
    leeway: Duration = 30.0
    """Clock skew allowed on exp, nbf and iat."""
    max_stale: Duration = 86400.0
    """How long its last good keys and metadata stay in use while it cannot be reached, over a restart too."""
    token_type: Literal["any", "access"] = "any"  # noqa: S105 - no password
    """access: a signed token must be an access token by its `typ` and its claims (RFC 9068), so an ID token is none."""
    introspection: Introspection | None = None
    """The issuer is asked about tokens (RFC 7662); without it, one that is no signed token is refused."""
    binding: Binding = "none"
    """What its tokens have to be bound to, on every route: nothing, either of both, a client certificate (RFC 8705), a
    key that each request proves (RFC 9449), or both. A bound token has to hold wherever it is presented."""
    groups: Groups | None = None
    """What its tokens say about groups and roles; nothing when absent."""


class Logs(Section):
    """Where logs go: `stdout`, `stderr`, `off` or a file."""

    access: LogTarget = "stdout"
    decisions: OutputPath | None = None
    """SQLite file of decision events; none when absent."""


class Decisions(Section):
    """How much the decision log matters."""

    required: bool = False
    """Refuse requests while decisions cannot be recorded."""


class Settings(Section):
    """The whole configuration."""

    version: Literal[1]
    listeners: tuple[Listener, ...] = Field(min_length=1)
    issuers: tuple[Issuer, ...] = ()
    dpop: Dpop | None = None
    login: tuple[Login, ...] = ()
    """Where browsers log in; a route names the issuer."""
    sessions: Sessions = Sessions()
    requests: Requests = Requests()
    connections: Connections = Connections()
    overload: Overload = Overload()
    policy: PolicySettings = PolicySettings()
    limits: Limits = Limits()
    routes: tuple[Route, ...] = Field(min_length=1)
    spiffe: Spiffe | None = None
    logs: Logs = Logs()
    assertion: Assertion | None = None
    decisions: Decisions = Decisions()
    state: OutputPath = Path("var")
    """Directory of what a restart during an outage needs: last good keys."""
    drain: Duration = 30.0
    """How long running requests may take to finish after SIGTERM."""
    workers: Workers = 1
    """How many processes serve; auto: one for each usable core. `--workers` overrides it."""
    admin: Admin | None = None
    health: Health | None = None
    reload: Reload = Reload()
