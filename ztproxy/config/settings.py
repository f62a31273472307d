"""The shape of the configuration file: what may be written, its defaults and its limits.

Immutable once read. Nothing here looks at the file system or the network: `ztproxy.config.loading` does, and makes
every path absolute.
"""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from ztproxy.config.cross_origin import Cors
from ztproxy.config.edge import Connections, Overload, Requests
from ztproxy.config.header_rules import HeaderRules, folded
from ztproxy.config.moving import Redirect, Rewrite
from ztproxy.config.operation import Admin, Health, Reload, Workers
from ztproxy.config.policies import PolicySettings
from ztproxy.config.section import Section
from ztproxy.config.sizes import Size
from ztproxy.config.streams import WEBSOCKET, Streams, UpgradeName
from ztproxy.config.upstreams import Upstream
from ztproxy.config.values import (
    Address,
    AddressValue,
    Duration,
    FieldName,
    HostPattern,
    InputFile,
    Network,
    OutputPath,
    PathPrefix,
    RateValue,
    Secret,
    UnixAddress,
)

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
Demand = Literal["certificate", "token"]


def _https(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("a URL is https://host[:port]/path, without user and fragment")
    return value


def _limit_key(value: str) -> str:
    if not re.fullmatch(
        r"source\.address|certificate\.(fingerprint|spiffe_id)|token\.subject|token\.claims\.[A-Za-z0-9_:./-]+|route",
        value,
    ):
        raise ValueError(
            "a bucket's key is source.address, certificate.fingerprint, certificate.spiffe_id, token.subject, "
            "token.claims.NAME or route"
        )
    return value


def _log_target(value: str, info: ValidationInfo) -> str:
    if value in ("stdout", "stderr", "off") or not info.context:
        return value
    return str(Path(info.context["base"], value))


LogTarget = Annotated[str, AfterValidator(_log_target)]
Url = Annotated[str, AfterValidator(_https)]
LimitKey = Annotated[str, AfterValidator(_limit_key)]


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
    mode: Literal["required", "optional", "off"] = "off"
    """required: the handshake refuses. optional: each route decides. off: none is asked for."""
    crl: tuple[InputFile, ...] = ()
    """Revocation lists of these authorities, PEM or DER."""
    on_unknown: Literal["refuse", "allow"] = "refuse"
    """What happens when `crl` is configured and the list that covers a certificate is missing or stale."""

    @model_validator(mode="after")
    def _authorities_where_asked(self) -> Self:
        if self.mode != "off" and not self.authorities:
            raise ValueError("client certificates are asked for, but no `authorities` are named that may issue them")
        if self.mode == "off" and (self.authorities or self.crl):
            raise ValueError("`authorities` and `crl` have no effect with `mode: off`; say `required` or `optional`")
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
    client_certificates: ClientCertificates = ClientCertificates()
    minimum_version: Literal["1.2", "1.3"] | None = None
    """TLS version; default 1.3 where client certificates are asked for, else 1.2."""
    trusted_proxies: tuple[Network, ...] = ()
    """X-Forwarded-For (rightmost untrusted) and -Proto are believed from these networks, nothing else."""
    proxy_protocol: bool = False
    """Every connection begins with a PROXY header (v1 or v2) that says who the client is; from `trusted_proxies` only,
    all others are closed. X-Forwarded-For then counts from the client that it names."""
    hsts: Hsts | None = None
    """Strict-Transport-Security on every response of this listener."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.proxy_protocol and (isinstance(self.address, UnixAddress) or not self.trusted_proxies):
            raise ValueError(
                "`proxy_protocol` needs a TCP address, and `trusted_proxies` that may say who the client is"
            )
        if self.protocol == "https" and not self.certificates:
            raise ValueError("an https listener needs `certificates`")
        if self.protocol == "https" and self.redirect_to_https:
            raise ValueError("`redirect_to_https` belongs to a listener with `protocol: http`")
        if self.protocol == "http":
            if self.certificates or self.client_certificates.mode != "off" or self.hsts:
                raise ValueError("`certificates`, `client_certificates` and `hsts` belong to `protocol: https`")
            if not (self.redirect_to_https or self.allow_plaintext or is_local(self.address)):
                raise ValueError(
                    "plaintext on an address that is not loopback: use `protocol: https`, `redirect_to_https: true` "
                    "or say `allow_plaintext: true`"
                )
        return self


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
    """An OIDC issuer whose tokens are understood."""

    issuer: Url
    """Exactly as in the tokens' `iss`."""
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
    """How long its last good keys stay in use while it cannot be reached."""


class LimitRule(Section):
    """A token bucket per value of its key."""

    key: LimitKey | tuple[LimitKey, ...]
    """What the bucket is keyed by; several keys make one combined key."""
    rate: RateValue
    burst: int | None = Field(default=None, ge=1, le=1_000_000_000)
    """Requests that may come at once; as many as the rate's number when absent."""
    shadow: bool = False
    """Counted and logged, not enforced."""
    on_failure: Literal["refuse", "local"] = "refuse"
    """While the storage is away: refuse, or an in-process bucket."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The parts of the key."""
        return (self.key,) if isinstance(self.key, str) else self.key

    @property
    def name(self) -> str:
        """The rule's name in logs and fields."""
        return "+".join(self.keys)


class Limits(Section):
    """Token buckets for every route, and where buckets are kept."""

    storage: str = Field(default="memory://", pattern=r"^(memory://|machine://(/.+)?|rediss?://.+)$")
    """memory:// (one process), machine:// (all processes of this machine, in a file below `state`; or machine:///folder)
    or redis://host:port/db (several machines)."""
    password: Secret | None = None
    """Redis password."""
    ipv6_prefix: int = Field(default=64, ge=16, le=128)
    """IPv6 clients share a bucket by this prefix."""
    maximum_buckets: int = Field(default=65536, ge=16)
    """Of memory:// and machine://; when none is full again new keys are refused."""
    timeout: Duration = 0.25
    """Longest wait for redis, or for a process that holds machine://."""
    rules: tuple[LimitRule, ...] = ()


class Route(Section):
    """What is published where, and what it demands."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    hosts: tuple[HostPattern, ...] = Field(min_length=1)
    """Exact names, *.example.com (one or more labels), or "*"."""
    paths: tuple[PathPrefix, ...] = Field(default=("/",), min_length=1)
    """Whole segments: /api/ covers /api/x, and /api too only when written /api. The longest wins."""
    issuers: tuple[str, ...] | None = None
    """Whose tokens count here; must be said once several issuers are configured."""
    authorities: tuple[InputFile, ...] | None = None
    """Whose certificates count here; must be said once several authorities are configured."""
    require: tuple[Demand, ...]
    """Demanded before the policy is asked; [] is written out where the policy alone decides."""
    limits: tuple[LimitRule, ...] = ()
    maximum_body: Size | None = None
    """Content of a request, in place of `requests.maximum_body`."""
    upstream: Upstream | None = None
    redirect: Redirect | None = None
    rewrite: Rewrite | None = None
    headers: HeaderRules = HeaderRules()
    cors: Cors | None = None
    upgrades: tuple[UpgradeName, ...] = (WEBSOCKET,)
    """Protocols that a request may switch to; h2c is never one."""
    streams: Streams = Streams()
    forward_token: bool = False
    """Pass the verified bearer token on to the upstream."""
    policy_headers: tuple[FieldName, ...] = ()
    """Names that a decision's `headers` may set; always stripped from the client's request."""
    keep_headers: tuple[FieldName, ...] = ()
    """Names out of the list of what upstreams commonly believe that are passed on from the client all the same."""

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if (self.upstream is None) == (self.redirect is None):
            raise ValueError("a route has either an `upstream` or a `redirect`")
        if self.redirect is not None and self.rewrite is not None:
            raise ValueError("`rewrite` is for an upstream; a `redirect` names its own path")
        if self.rewrite is not None:
            for path in self.paths:
                if not self.rewrite.covers(path):
                    raise ValueError(f"`rewrite.prefix` {self.rewrite.prefix} does not cover the route's path {path}")
        return self

    @model_validator(mode="after")
    def _each_header_from_one(self) -> Self:
        ours = folded((*self.headers.request.set, *self.headers.request.add, *self.headers.request.remove))
        if both := sorted(name for name in self.policy_headers if folded([name]) & ours):
            raise ValueError(f"{', '.join(both)}: set by the policy, so not by `headers.request`")
        return self

    @property
    def served_by(self) -> Upstream:
        """The upstream of a route that forwards; nothing else asks."""
        if self.upstream is None:
            raise LookupError(f"route {self.name} redirects")
        return self.upstream


class Logs(Section):
    """Where logs go: `stdout`, `stderr`, `off` or a file."""

    access: LogTarget = "stdout"
    decisions: OutputPath | None = None
    """SQLite file of decision events; none when absent."""


class Assertion(Section):
    """The signed statement of who asks, made for upstreams."""

    key: OutputPath
    """ES256 private key, PEM; made at first start if absent."""
    issuer: Url
    lifetime: Duration = 60.0


class Decisions(Section):
    """How much the decision log matters."""

    required: bool = False
    """Refuse requests while decisions cannot be recorded."""


class Settings(Section):
    """The whole configuration."""

    version: Literal[1]
    listeners: tuple[Listener, ...] = Field(min_length=1)
    issuers: tuple[Issuer, ...] = ()
    requests: Requests = Requests()
    connections: Connections = Connections()
    overload: Overload = Overload()
    policy: PolicySettings = PolicySettings()
    limits: Limits = Limits()
    routes: tuple[Route, ...] = Field(min_length=1)
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
