"""What a worker is doing and what it rests on: the document behind `ztproxy status`, and behind most gauges.

Times are seconds since 1970. docs/observability.md describes the document; keys are only ever added.
"""

import msgspec


class PolicyStatus(msgspec.Struct, frozen=True):
    """The policy in use."""

    engine: str
    """`embedded` or `server`."""
    source: str
    """Its directory, or the server's URL."""
    entrypoint: str
    revision: str
    loaded_at: float


class IssuerStatus(msgspec.Struct, frozen=True):
    """An issuer, and how its keys stand."""

    issuer: str
    keys: int
    """How many count now; 0 where none was ever fetched, or the last ones are too old."""
    fetched_at: float | None
    good_until: float | None
    """Until when its keys count if it stays away."""
    failures: int
    """Attempts in a row that failed."""
    last_failure: str
    metadata_failure: str = ""
    """Why what it says about itself could not be fetched last, while its keys could; empty when all is well."""


class CertificateStatus(msgspec.Struct, frozen=True):
    """A certificate in use, and its end."""

    use: str
    """`listener` (shown to clients), `authority` (clients' are verified with it), `upstream` (shown to servers)."""
    name: str
    """The listener's address, or the route."""
    file: str
    not_after: float


class RevocationStatus(msgspec.Struct, frozen=True):
    """What one source knows about revoked certificates: a file, a URL, or OCSP responders."""

    listener: str
    authority: str
    revoked: int
    this_update: float | None
    """When the list was made, or a responder answered last; null where it was never had."""
    next_update: float | None
    """Null where it does not say; such a list is never current. Null for OCSP, whose answers each have an end."""
    source: str = ""
    """The file or URL; `OCSP`; or what URLs that certificates name begin with, all of them as one."""
    kind: str = "list"
    """`list`, `delta` or `ocsp`."""
    failures: int = 0
    """Attempts in a row that failed."""
    last_failure: str = ""


class IntrospectionStatus(msgspec.Struct, frozen=True):
    """An issuer that is asked about tokens."""

    issuer: str
    waiting: int
    """Tokens that are being asked about or wait for it."""
    outcomes: dict[str, int]
    """Questions: `active`, `inactive`, `failed`, and `refused` because too many waited."""
    last_failure: str = ""
    """Of the last question, if it failed."""


class ServerStatus(msgspec.Struct, frozen=True):
    """A server of a route."""

    route: str
    server: str
    healthy: bool
    ejected: bool
    in_flight: int
    connections: int
    idle: int
    requests: int
    failures: int
    retries: int
    """Requests sent here that another server had failed."""
    checks: int
    """Health checks made."""


class QueueStatus(msgspec.Struct, frozen=True):
    """What waits in front of a route's servers."""

    route: str
    waiting: int
    refused: int
    """Requests that found every server and the queue full, or waited too long."""
    retries_denied: int
    """Requests not sent again because the budget was spent."""


class LimitsStatus(msgspec.Struct, frozen=True):
    """The limits' storage, and what its rules did."""

    storage: str
    """`memory`, `machine` or `redis`."""
    up: bool | None
    """Whether the shared storage answers; null where there is none."""
    buckets: int
    """In the process."""
    charged: dict[str, int]
    """By rule: requests that fitted into their bucket."""
    shadow_refused: dict[str, int]
    """By rule in shadow mode: requests that it would have refused."""


class SessionsStatus(msgspec.Struct, frozen=True):
    """Browsers' sessions, and where they are kept."""

    storage: str
    """`memory`, `sqlite` or `redis`."""
    up: bool
    """Whether it answered when it was last asked."""
    open: int | None
    """As counted a moment ago; null where it could not be."""
    begun: int
    ended: dict[str, int]
    """By why: `logout`, `replaced`, `back-channel`, `revoked`, or `refused` by the issuer at a refresh."""
    refreshed: dict[str, int]
    """By how it went: `done`, `ended`, or `away`."""
    last_failure: str
    """What kept one from being refreshed."""


class ProofsStatus(msgspec.Struct, frozen=True):
    """The store of used proofs (DPoP)."""

    storage: str
    """`memory`, `machine` or `redis`."""
    up: bool | None
    """Whether the shared store answers; null where there is none."""
    kept: int | None
    """Proofs that the process remembers; null where another place does."""


class ListenerStatus(msgspec.Struct, frozen=True):
    """A listening socket."""

    address: str
    """As configured."""
    bound: str
    """Where it really listens."""
    protocol: str
    open: int
    accepted: int
    handshakes: int
    """TLS handshakes that came about."""
    handshakes_under_way: int
    refused: dict[str, int]
    """Connections closed at once, by the key of the bound that they ran into."""


class MemoStatus(msgspec.Struct, frozen=True):
    """The memo of decisions."""

    hits: int
    misses: int
    entries: int


class LoadStatus(msgspec.Struct, frozen=True):
    """What is under way, and whether new work is refused."""

    in_flight: int
    overloaded: bool
    refused: dict[str, int]
    """Requests refused at once, by the key of the bound that they ran into."""


class StreamsStatus(msgspec.Struct, frozen=True):
    """Upgraded connections and long responses."""

    open: dict[str, int]
    """By kind."""
    opened: dict[str, int]
    """By kind."""
    ended: dict[str, int]
    """Those that the proxy ended, by reason."""
    refused: int
    """There were as many as there may be."""


class LogsStatus(msgspec.Struct, frozen=True):
    """Whether logs keep up."""

    access_lost: int
    decisions_lost: int
    decisions_healthy: bool | None
    """Null where there is no decision log."""


class BundleStatus(msgspec.Struct, frozen=True):
    """Whom a trust domain trusts to issue its SVIDs."""

    trust_domain: str
    authorities: int
    """0: none of its X509-SVIDs counts."""
    keys: int
    """Of its JWT-SVIDs."""
    since: float
    """When it came to be as it is."""


class WorkloadStatus(msgspec.Struct, frozen=True):
    """Our workload identity (SPIFFE), and the bundles that vouch for others'."""

    source: str
    spiffe_id: str | None
    """Null where we have no SVID."""
    not_before: float | None
    not_after: float | None
    bundles: tuple[BundleStatus, ...]


class Basis(msgspec.Struct, frozen=True):
    """What decisions rest on: it changes with a reload, as a whole."""

    policy: PolicyStatus
    issuers: tuple[IssuerStatus, ...]
    certificates: tuple[CertificateStatus, ...]
    revocation: tuple[RevocationStatus, ...]
    workload: WorkloadStatus | None = None
    """Null without `spiffe`."""


class Judging(msgspec.Struct, frozen=True):
    """What judging requests has come to so far."""

    limits: LimitsStatus
    unchecked: dict[str, int]
    """By listener: requests let in although whether their certificate was revoked was not known."""
    memo: MemoStatus | None = None
    late: dict[str, int] = {}
    """By listener: requests let in by what was known of revocations before it was out of date, within the grace."""
    ocsp: dict[str, int] = {}
    """Questions to OCSP responders: `answered`, `failed`, and `left_out` because too many waited."""
    sessions: SessionsStatus | None = None
    """None where nobody logs in."""
    proofs: ProofsStatus | None = None
    """Null where proofs are not understood."""
    introspection: tuple[IntrospectionStatus, ...] = ()


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker's word."""

    worker: str
    pid: int
    started_at: float
    draining: bool
    basis: Basis
    judging: Judging
    servers: tuple[ServerStatus, ...]
    queues: tuple[QueueStatus, ...]
    listeners: tuple[ListenerStatus, ...]
    logs: LogsStatus
    load: LoadStatus
    streams: StreamsStatus | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(WorkerStatus)


def encode(status: WorkerStatus) -> bytes:
    """As it travels from a worker to the supervisor."""
    return _encoder.encode(status)


def decode(status: bytes) -> WorkerStatus:
    """Raises `msgspec.DecodeError`."""
    return _decoder.decode(status)
