"""The shape of a route's `upstream`: its servers, which of them is asked, and what happens while some are away."""

import re
import socket
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from ztproxy.config.section import Section
from ztproxy.config.spiffe_ids import SpiffePattern
from ztproxy.config.values import Duration, InputFile, Secret

_IDENTITY = r"source\.address|certificate\.(?:fingerprint|spiffe_id)|token\.subject|token\.claims\.[A-Za-z0-9_:./-]+"
_BALANCE = rf"round_robin|least_requests|consistent_hash\((?:{_IDENTITY}|header\.[A-Za-z0-9-]+)\)"


def _server(value: str) -> str:
    if value.startswith("unix:"):
        if not re.fullmatch(r"unix:/[^\0]+", value):
            raise ValueError("a server on a Unix socket is unix:/absolute/path")
        if not hasattr(socket, "AF_UNIX"):
            raise ValueError("this system's Python has no Unix sockets")
        return value
    parts = urlsplit(value)
    port = parts.port  # raises ValueError when out of range
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username is not None
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
        or port == 0
    ):
        raise ValueError("a server is http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH, without a path behind")
    return value.rstrip("/")


def _balance(value: str) -> str:
    if not re.fullmatch(_BALANCE, value):
        raise ValueError(
            "`balance` is round_robin, least_requests or consistent_hash(KEY), where KEY is source.address, "
            "certificate.fingerprint, certificate.spiffe_id, token.subject, token.claims.NAME or header.NAME"
        )
    return value


def _health_path(value: str) -> str:
    if not re.fullmatch(r"/[!-~]*", value) or "#" in value:
        raise ValueError("a path to check starts with / and has no spaces; a query may follow")
    return value


def _cookie_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!$&'*+.^_|~-]{1,64}", value) or value.startswith("__Secure-"):
        raise ValueError("a cookie's name has letters, digits and dashes")
    return value


def _status(value: int) -> int:
    if not 200 <= value <= 599:  # noqa: PLR2004 - final statuses (RFC 9110 §15)
        raise ValueError("a status is 200 to 599")
    return value


ServerUrl = Annotated[str, AfterValidator(_server)]
Balance = Annotated[
    str,
    AfterValidator(_balance),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^({_BALANCE})$",
            "examples": ["round_robin", "least_requests", "consistent_hash(token.subject)"],
        }
    ),
]
HealthPath = Annotated[str, AfterValidator(_health_path)]
CookieName = Annotated[str, AfterValidator(_cookie_name)]
Status = Annotated[int, AfterValidator(_status)]


class UpstreamTls(Section):
    """How servers under https:// are verified and what we show them."""

    authorities: tuple[InputFile, ...] = ()
    """PEM files; the system's trust when absent."""
    certificate: InputFile | None = None
    key: InputFile | None = None
    server_name: str | None = None
    """The name verified and sent as SNI; the server's host when absent."""
    svid: bool = False
    """Show our own X509-SVID (`spiffe`), in place of `certificate` and `key`."""
    spiffe_ids: tuple[SpiffePattern, ...] | None = Field(default=None, min_length=1)
    """Whom we talk to: the server's X509-SVID has one of these IDs, and its own trust domain's bundle vouches for it.
    In place of `authorities` and of a name; `server_name` is then only sent."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together")
        if self.svid and self.certificate is not None:
            raise ValueError("with `svid: true` our SVID is shown, and no `certificate`")
        if self.spiffe_ids is not None and self.authorities:
            raise ValueError("with `spiffe_ids` the trust domains' bundles vouch for servers, and no `authorities`")
        return self


class Timeouts(Section):
    """How long an upstream may take."""

    connect: Duration = 2.0
    """Name resolution, TCP and TLS handshake."""
    response: Duration = 30.0
    """From the request's end to the response's head."""
    idle: Duration = 60.0
    """Between two pieces of a body, both ways."""


class WeightedServer(Section):
    """A server and its share of the requests."""

    url: ServerUrl
    weight: int = Field(default=1, ge=1, le=100)
    """How many requests it gets in proportion to the others."""


def _kind(value: object) -> str:
    return "weighted-server" if isinstance(value, dict | WeightedServer) else "server-url"


AnyServer = Annotated[
    Annotated[ServerUrl, Tag("server-url")] | Annotated[WeightedServer, Tag("weighted-server")], Discriminator(_kind)
]
"""A URL alone, or with a weight: one reading each, so that errors speak of that one."""


class Sticky(Section):
    """A cookie of ours that leads a client back to the server it had, as long as that server is fit.

    It holds a keyed hash of the server's name: it can neither be forged nor tells where the server is. It is `Secure`
    and `HttpOnly`, is removed before the request goes to the upstream, and an upstream cannot set it.
    """

    cookie: CookieName = "__Host-ztproxy-server"
    """Its name; one for each upstream where several share a host."""
    same_site: Literal["Lax", "Strict", "None"] = "Lax"
    lifetime: Duration | None = None
    """How long browsers keep it; until they are closed when absent."""
    secret: Secret | None = None
    """What the hash is keyed with, 16 octets or more, the same on every host; a file in `state` when absent."""


class Health(Section):
    """A request that each server is asked again and again, over the same TLS as clients' requests.

    A server counts as fit until its first check; the first result counts at once. While no server is fit, requests are
    refused with `upstream-unreachable`: a server that says it must not be asked is not asked.
    """

    path: HealthPath
    status: tuple[Status, ...] = Field(default=(200,), min_length=1)
    """Statuses of a server that is well."""
    interval: Duration = 5.0
    """Between two checks of a server, a tenth more or less."""
    timeout: Duration = 2.0
    """From connecting to the response's head."""
    healthy: int = Field(default=2, ge=1, le=100)
    """So many good checks in a row bring a server back."""
    unhealthy: int = Field(default=3, ge=1, le=100)
    """So many bad checks in a row take it out."""
    host: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+(:\d{1,5})?$")
    """The Host asked for; the server's own when absent."""


class Outliers(Section):
    """Servers that fail clients' requests are left out for a while: twice as long each time, until they last."""

    failures: int = Field(default=5, ge=1, le=1000)
    """So many failures in a row: not connecting, breaking off, invalid HTTP, no response in time."""
    gateway_errors: int | None = Field(default=None, ge=1, le=1000)
    """So many responses 502, 503 or 504 in a row; not looked at when absent."""
    eject: Duration = 30.0
    """How long a server is left out the first time. After it, one failure is enough to leave it out again."""
    eject_at_most: Duration = 300.0
    """How long it is left out at most."""
    maximum_ejected: int = Field(default=50, ge=0, le=100)
    """Percent of the servers that may be left out at the same time, rounded down; 0: none ever."""


class Retries(Section):
    """When a request is sent again: never where it may have done something.

    A request is tried on another server when nothing of it was sent, or when its method is idempotent and it has no
    content; and never once a response began to be handed over.
    """

    attempts: int = Field(default=2, ge=0, le=10)
    """How often more than once."""
    share: int = Field(default=20, ge=0, le=100)
    """Percent of the requests in flight that may be such further attempts."""
    minimum: int = Field(default=100, ge=0)
    """So many may be in flight whatever the share."""
    statuses: tuple[Literal[502, 503, 504], ...] = ()
    """Responses of a server that count as a failure and are asked for elsewhere, where that is allowed."""


class Queue(Section):
    """Where a worker's requests wait while every server has as many of them as it may."""

    length: int = Field(default=100, ge=0, le=100_000)
    """How many may wait; more are refused with `overloaded`."""
    wait: Duration = 1.0
    """How long one waits before it is refused with `overloaded`."""


class Upstream(Section):
    """The servers of a route."""

    servers: tuple[AnyServer, ...] = Field(min_length=1, max_length=256)
    """`http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:/PATH`; a name's addresses are used in turn."""
    balance: Balance = "round_robin"
    """`round_robin`, `least_requests` (of two drawn by weight) or `consistent_hash(KEY)`: an identity key as in limits,
    or `header.NAME`, which clients choose; a request without it goes by its source address."""
    sticky: Sticky | None = None
    health: Health | None = None
    outliers: Outliers = Outliers()
    retries: Retries = Retries()
    maximum_connections: int | None = Field(default=None, ge=1)
    """Connections of one worker to one server; no limit when absent."""
    maximum_requests: int | None = Field(default=None, ge=1)
    """Requests in flight from one worker at one server; no limit when absent."""
    queue: Queue = Queue()
    slow_start: Duration | None = None
    """How long a server that comes back takes to its full share."""
    resolve: Duration = 30.0
    """How long the addresses of a name are used before it is resolved again; the last ones while that fails."""
    tls: UpstreamTls | None = None
    timeouts: Timeouts = Timeouts()
    preserve_host: bool = False
    """Send the client's Host instead of the server's."""

    @property
    def weighted(self) -> tuple[WeightedServer, ...]:
        """The servers, each with its weight."""
        return tuple(WeightedServer(url=one) if isinstance(one, str) else one for one in self.servers)

    @property
    def urls(self) -> tuple[str, ...]:
        """The servers' URLs."""
        return tuple(one if isinstance(one, str) else one.url for one in self.servers)

    @property
    def secure(self) -> bool:
        """Whether its servers are reached over TLS."""
        return self.urls[0].startswith("https:")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        secure = {url.startswith("https:") for url in self.urls}
        if len(secure) > 1:
            raise ValueError("servers of one upstream are all reached over TLS, or none is")
        if self.tls is not None and secure == {False}:
            raise ValueError("`tls` has no effect on servers under http:// or unix:")
        if len(set(self.urls)) < len(self.urls):
            raise ValueError("a server is named twice; give it a `weight`")
        if self.queue != Queue() and self.maximum_connections is None and self.maximum_requests is None:
            raise ValueError("nothing waits in a `queue` without `maximum_connections` or `maximum_requests`")
        return self
