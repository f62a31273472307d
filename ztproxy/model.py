"""The types that flow from one stage to the next.

Each stage takes the type before it and returns the next one or a `Refusal`; `ztproxy.pipeline` is that sentence in
code. All of them are frozen `msgspec` structs: making one costs less than a tenth of a microsecond. None that flows
takes part in a cycle, so the collector need not look at them (`gc=False`).
"""

from collections.abc import Callable, Coroutine, Mapping
from enum import Enum
from typing import Any

import msgspec

Notes = dict[Any, Any]
"""What stages noted; the note's keys are theirs."""
Fields = tuple[tuple[bytes, bytes], ...]
"""Header fields in the order received: names in lower case, values without surrounding white space (RFC 9110 §5)."""


class Reason(Enum):
    """Why a request was refused: the machine-readable word, its HTTP status, and what it means in a sentence."""

    REQUEST_MALFORMED = ("request-malformed", 400, "The request is not valid HTTP.")
    REQUEST_AMBIGUOUS = ("request-ambiguous", 400, "The request can be read in more than one way.")
    REQUEST_TOO_LARGE = ("request-too-large", 413, "The request is larger than allowed.")
    MISDIRECTED_REQUEST = ("misdirected-request", 421, "The Host names another server than the TLS handshake did.")
    ROUTE_NOT_FOUND = ("route-not-found", 404, "Nothing is published at this host and path.")
    CROSS_ORIGIN_REFUSED = ("cross-origin-refused", 403, "Pages of this origin may not ask for this.")

    CERTIFICATE_REQUIRED = ("certificate-required", 403, "A client certificate is required here.")
    CERTIFICATE_EXPIRED = ("certificate-expired", 403, "The client certificate is outside its validity period.")
    CERTIFICATE_UNSUITABLE = ("certificate-unsuitable", 403, "The certificate is not one for a client.")
    CERTIFICATE_UNTRUSTED_HERE = ("certificate-untrusted-here", 403, "The certificate's authority does not count here.")
    SPIFFE_ID_REFUSED = ("spiffe-id-refused", 403, "The workload's SPIFFE ID does not count here.")
    CERTIFICATE_REVOKED = ("certificate-revoked", 403, "The client certificate was revoked.")
    REVOCATION_UNKNOWN = ("revocation-unknown", 403, "Whether the client certificate was revoked is not known.")

    TOKEN_MISSING = ("token-missing", 401, "A bearer token is required here.")
    TOKEN_MALFORMED = ("token-malformed", 401, "The token is malformed.")
    TOKEN_EXPIRED = ("token-expired", 401, "The token has expired.")
    TOKEN_NOT_YET_VALID = ("token-not-yet-valid", 401, "The token is not valid yet.")
    TOKEN_SIGNATURE_INVALID = ("token-signature-invalid", 401, "The token's signature does not verify.")
    TOKEN_KEY_UNKNOWN = ("token-key-unknown", 401, "The token's issuer does not publish the key that it names.")
    TOKEN_ISSUER_UNKNOWN = ("token-issuer-unknown", 401, "Tokens of this issuer do not count here.")
    TOKEN_AUDIENCE_MISMATCH = ("token-audience-mismatch", 401, "The token was made for another audience.")
    TOKEN_ALGORITHM_REFUSED = ("token-algorithm-refused", 401, "The token's algorithm is not allowed for its issuer.")
    TOKEN_BINDING_MISMATCH = ("token-binding-mismatch", 401, "The token is bound to another key.")
    TOKEN_TYPE_REFUSED = ("token-type-refused", 401, "The token is no access token, and only those count here.")
    TOKEN_INACTIVE = ("token-inactive", 401, "The token's issuer says that it does not count, or no more.")
    LOGIN_REQUIRED = ("login-required", 401, "You have to log in here.")
    LOGIN_FAILED = ("login-failed", 403, "The login did not succeed.")
    STEP_UP_FAILED = ("step-up-failed", 403, "The login is not as strong or as recent as this needs.")
    LOGOUT_REFUSED = ("logout-refused", 400, "The logout cannot be believed.")
    SESSION_UNREADABLE = ("session-unreadable", 401, "The session's cookie cannot be read.")
    SESSION_ENDED = ("session-ended", 401, "The session has ended.")
    SESSION_CHANGED = ("session-changed", 401, "What is known of who asks has changed.")
    SESSION_TOO_LARGE = ("session-too-large", 403, "The issuer said more of this login than can be kept.")
    SESSION_STORE_UNAVAILABLE = ("session-store-unavailable", 503, "Sessions cannot be looked up now.")
    SESSION_NOT_RENEWED = ("session-not-renewed", 503, "The session's issuer cannot be reached, for too long already.")
    SESSIONS_FULL = ("sessions-full", 503, "There are as many sessions as there may be.")
    CROSS_SITE_REFUSED = ("cross-site-refused", 403, "A page of another site asked for this.")
    TOKEN_BINDING_REQUIRED = ("token-binding-required", 401, "A token that is bound to a key is required here.")
    PROOF_INVALID = ("proof-invalid", 401, "The proof of the token's key does not hold.")
    PROOF_REPLAYED = ("proof-replayed", 401, "The proof of the token's key was used before.")
    PROOF_NONCE_REQUIRED = ("proof-nonce-required", 401, "The proof of the token's key has no current nonce.")
    PROOF_STORE_UNAVAILABLE = ("proof-store-unavailable", 503, "Whether the proof was used before cannot be told.")
    STEP_UP_REQUIRED = ("step-up-required", 401, "This needs a stronger or a more recent login.")
    ISSUER_KEYS_UNAVAILABLE = ("issuer-keys-unavailable", 503, "The issuer's keys could not be fetched.")
    INTROSPECTION_UNAVAILABLE = ("introspection-unavailable", 503, "The token's issuer could not be asked about it.")
    ISSUER_UNAVAILABLE = ("issuer-unavailable", 503, "The identity provider cannot be reached: no new logins now.")

    POLICY_DENIED = ("policy-denied", 403, "The policy does not allow this request.")
    POLICY_UNDEFINED = ("policy-undefined", 403, "The policy says nothing about this request.")
    POLICY_MALFORMED = ("policy-malformed", 403, "The policy's answer cannot be read.")
    POLICY_ERROR = ("policy-error", 403, "The policy could not be evaluated.")
    POLICY_TIMEOUT = ("policy-timeout", 403, "The policy took too long.")
    POLICY_UNAVAILABLE = ("policy-unavailable", 503, "The policy engine cannot be reached.")

    RATE_LIMITED = ("rate-limited", 429, "Too many requests.")

    TOKEN_EXCHANGE_FAILED = ("token-exchange-failed", 502, "No token for the application could be had.")
    ASSERTION_TOO_LARGE = ("assertion-too-large", 403, "There is more to tell the application of who asks than fits.")

    UPSTREAM_UNREACHABLE = ("upstream-unreachable", 502, "The application behind this address cannot be reached.")
    UPSTREAM_PROTOCOL_ERROR = ("upstream-protocol-error", 502, "The application answered with invalid HTTP.")
    UPSTREAM_TLS_FAILED = ("upstream-tls-failed", 502, "The application could not be verified.")
    UPSTREAM_TIMEOUT = ("upstream-timeout", 504, "The application took too long to answer.")

    CLIENT_GONE = ("client-gone", 499, "The client went away before it was answered.")
    OVERLOADED = ("overloaded", 503, "The proxy is busy.")
    INTERNAL_ERROR = ("internal-error", 500, "The proxy failed.")

    def __init__(self, word: str, status: int, title: str) -> None:
        self.word = word
        self.status = status
        self.title = title


class Tls(msgspec.Struct, frozen=True):
    """What the TLS handshake settled; `server_name` is the client's SNI in lower case, None when it sent none."""

    version: str
    cipher: str
    server_name: str | None


class Sans(msgspec.Struct, frozen=True):
    """Subject alternative names by type (RFC 5280 §4.2.1.6); never compared across types (CVE-2022-21656)."""

    dns: tuple[str, ...] = ()
    uri: tuple[str, ...] = ()
    email: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()


class Certificate(msgspec.Struct, frozen=True):
    """A client certificate whose chain OpenSSL verified in the handshake; `identity/` decides whether it is fit.

    `serial` and `fingerprint` (SHA-256 over DER) are lower-case hex; times are seconds since 1970.
    """

    der: bytes
    subject: str
    common_name: str | None
    sans: Sans
    spiffe_id: str | None
    issuer: str
    serial: str
    fingerprint: str
    not_before: float
    not_after: float
    version: int
    is_authority: bool
    extended_key_usage: tuple[str, ...] | None
    """Dotted object identifiers; None when the extension is absent."""
    chain: tuple[bytes, ...]
    """The verified chain as DER, the leaf first, the trust anchor last."""
    revocation: str = "unchecked"
    """`good`, or `unchecked`: nothing is configured, or `on_unknown: allow`; a revoked one never leaves `identity/`."""


class Token(msgspec.Struct, frozen=True):
    """A token whose signature, issuer, audience and times were verified; times are seconds since 1970.

    A browser's session is one too, of the kind `session`: what its issuer said at the login, or at the last refresh.
    """

    digest: bytes
    """SHA-256 of the token as received: names it in caches without holding it. A session's changes with its claims."""
    issuer: str
    subject: str
    audience: tuple[str, ...]
    claims: Mapping[str, Any]
    kind: str
    bound_to: str | None
    """The fingerprint of the certificate that it is bound to (RFC 8705)."""
    issued_at: float | None
    expires_at: float
    key_id: str | None
    session: str | None = None
    """Names the session, to operators and in logs; no secret, and nothing that could be presented. None for others."""
    bound_key: str | None = None
    """The thumbprint of the key that it is bound to (RFC 9449 §6), base64url as in `cnf.jkt`."""
    groups: tuple[str, ...] = ()
    """As the issuer's `groups` make them of its claims; with `roles` a function of claims and configuration alone."""
    roles: tuple[str, ...] = ()


class StepUp(msgspec.Struct, frozen=True, gc=False):
    """How strong and how recent a login has to be (RFC 9470)."""

    acr_values: tuple[str, ...] = ()
    """One of these must be the token's `acr`; empty: any will do."""
    max_age: int | None = None
    """Seconds since the token's `auth_time`; None: it may be as old as the token."""

    def met(self, claims: Mapping[str, Any], now: float) -> bool:
        """Whether a login with these claims does at a time, in seconds since 1970."""
        if self.acr_values and claims.get("acr") not in self.acr_values:
            return False
        if self.max_age is None:
            return True
        at = claims.get("auth_time")
        return isinstance(at, int | float) and not isinstance(at, bool) and now - at <= self.max_age


class Connection(msgspec.Struct, frozen=True, weakref=True):
    """What is fixed for all requests of one connection."""

    listener: str
    """The listener's address as configured."""
    scheme: str
    """`https`, or `http` on a plaintext listener."""
    peer: str
    """The address on the socket, or what a PROXY header put in its place; empty on a Unix socket."""
    peer_port: int
    local_port: int
    tls: Tls | None = None
    unchecked_certificate: "Certificate | Refusal | None" = None
    """Verified by OpenSSL and nothing else yet; a `Refusal` when it could not even be read."""
    anonymous: bool = False
    """The peer is a balancer that does not say for whom it speaks: nobody believes it about anything else either."""


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """One canonical request, clean of everything that could pose as ours. All later stages are written from it.

    `fields` holds no hop-by-hop field, no Host, no Content-Length, no Authorization, no DPoP, no name with `_`, none
    that we set and none that a policy may set, and in Cookie none of our own cookies. `unverified_authorization` holds
    every Authorization value received, `unverified_proofs` every DPoP value.
    """

    request_id: str
    wall: float
    """Seconds since 1970, read once."""
    monotonic: float
    """Seconds of the monotonic clock, read once."""
    connection: Connection
    source: str
    """The client's address after trusted proxies; empty on a Unix socket."""
    method: str
    scheme: str
    host: str
    """Lower case, without port; IPv6 literals without brackets."""
    port: int
    authority: bytes
    """Host and port as they are forwarded (`X-Forwarded-Host`)."""
    path: str
    """ASCII, as received: it has one canonical spelling."""
    segments: tuple[str, ...]
    query: str
    """As received, without the question mark; empty when absent."""
    has_query: bool
    fields: Fields
    unverified_authorization: tuple[bytes, ...]
    content_length: int | None
    """Octets of the body; 0 when there is none, None when it is chunked."""
    upgrade: str | None = None
    """The protocol that the client asks to switch to, in lower case: `websocket`, or what a route names; else None."""
    protocol: str = "HTTP/1.1"
    notes: Notes = msgspec.field(default_factory=dict)
    """What a stage worked out from `fields` or `unverified_authorization` alone; shared by the requests of a connection
    that repeat them. Each note stands with the very object that it was worked out from, and holds for nothing else."""
    own_cookies: Fields = ()
    """Names and values of the cookies under names that are ours alone, as received: whoever sent them may have made
    them up."""
    unverified_proofs: tuple[bytes, ...] = ()
    """Proofs of possession (RFC 9449 §4.1)."""


class Routed(msgspec.Struct, frozen=True, gc=False):
    """A request and the name of the route that it belongs to."""

    arrived: Arrived
    route: str


class Preflight(msgspec.Struct, frozen=True, gc=False):
    """A browser's bare question whether a page may ask (CORS), for an upstream to answer: nobody is known."""

    arrived: Arrived
    route: str


class Identified(msgspec.Struct, frozen=True, gc=False):
    """A request and who asks: verified, checked for use on this route, and complete as the route demands."""

    arrived: Arrived
    route: str
    certificate: Certificate | None
    token: Token | None
    response_fields: Fields = ()
    """What the client is told beside the upstream's response, whatever that is."""


class LimitStatus(msgspec.Struct, frozen=True, gc=False):
    """The tightest bucket that a request was charged to, for the RateLimit fields and the access log."""

    name: str
    """What the rule is keyed by, as configured: `token.subject+route`."""
    limit: int
    remaining: int
    reset: float
    """Seconds until the bucket is full again."""
    window: float = 1.0
    """Seconds in which `limit` requests may be made on average."""
    shadow: tuple[str, ...] = ()
    """Names of shadow rules that would have refused."""


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """An identified request within its rates."""

    arrived: Arrived
    route: str
    certificate: Certificate | None
    token: Token | None
    limit: LimitStatus | None
    response_fields: Fields = ()


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What the policy said, strictly read, and what the decision log needs to tell about it."""

    allow: bool
    reasons: tuple[str, ...] = ()
    headers: Fields = ()
    """To be set towards the upstream; declared in the route's `policy_headers`."""
    max_age: float | None = None
    revision: str = ""
    document: bytes = b""
    """The input document, JSON."""
    result: bytes = b"null"
    """The value at the entrypoint, JSON."""
    duration: float = 0.0
    """Seconds that the engine took."""
    memo: str = "off"
    """`hit`: remembered, the engine was not asked; `miss`: it was; `off`: nothing is remembered of this policy."""
    step_up: StepUp | None = None
    """What the login has to be like, beside all else."""


class Authorized(msgspec.Struct, frozen=True, gc=False):
    """What the policy allowed. Only `ztproxy.policy` makes one and `ztproxy.upstream` forwards nothing else."""

    arrived: Arrived
    route: str
    certificate: Certificate | None
    token: Token | None
    limit: LimitStatus | None
    decision: Decision
    response_fields: Fields = ()
    """As identity said."""
    credentials: bytes = b""
    """The bearer token that was obtained for the upstream in exchange for the caller's; empty: none was."""


class Right(msgspec.Struct, frozen=True, gc=False):
    """What the right to an open stream rests on, beside the policy's word."""

    listener: str
    """The listener's address as configured."""
    host: str
    route: str
    certificate: Certificate | None
    token: Token | None


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Why a request goes no further. A value, not an exception.

    `detail` is shown to the client: it names what was wrong and holds no secret.
    `cause` is for the operator's log alone. `fields` are added to the response.
    """

    reason: Reason
    detail: str = ""
    cause: str = ""
    reasons: tuple[str, ...] = ()
    """The policy's own reasons; shown only where `policy.show_reasons` allows."""
    fields: Fields = ()
    """Response fields that go with it: WWW-Authenticate, Retry-After, RateLimit."""
    status_code: int = 0
    """Overrides the reason's status: 431 for fields that are too large."""
    close: bool = False
    """The connection cannot be trusted to be in step: close it."""
    decision: Decision | None = None
    limit: LimitStatus | None = None
    step_up: StepUp | None = None
    """The login that would do; with `STEP_UP_REQUIRED` alone."""
    retry: str = ""
    """Where a person may try again: a path of this host."""

    @property
    def status(self) -> int:
        """The HTTP status of the response."""
        return self.status_code or self.reason.status


Stage = Arrived | Routed | Identified | Admitted


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A refusal and how far the request had come: what is known of it, for the logs. None before it could be read."""

    refusal: Refusal
    at: Stage | None


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A response made by the proxy itself: reserved paths, redirects, rendered refusals."""

    status: int
    fields: Fields
    body: bytes


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A request that the proxy answered itself, on a reserved path or a redirecting listener."""

    answer: Answer
    at: Arrived


class WithContent(msgspec.Struct, frozen=True, gc=False):
    """A request that the proxy answers itself once all its content has come: logins and logouts take forms."""

    maximum: int
    """Octets of content; more is refused."""
    answer: Callable[[bytes], Coroutine[Any, Any, Answer | Refusal]]
    """Makes the answer out of the content."""
    at: Stage


Met = Answer | Refusal | WithContent
"""How the proxy meets a request that goes no further."""
Meet = Callable[[Arrived], Coroutine[Any, Any, Met]]
"""Meets the requests for a path that is the proxy's own."""
Outcome = Authorized | Refused | Answered
Decided = Outcome | WithContent


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A request at its end, for the access log. Durations in seconds, sizes in octets of content."""

    outcome: Outcome
    request_id: str
    wall: float
    connection: Connection
    status: int
    """The status sent to the client; 0 when the client was gone before one could be sent."""
    bytes_in: int
    bytes_out: int
    duration: float
    upstream: str | None = None
    upstream_duration: float | None = None
    cut: str | None = None
    """Why the response did not end as it should have: the client or the upstream went away."""


class HandshakeFailed(msgspec.Struct, frozen=True):
    """A TLS handshake that did not come about, for the access log; `cause` is OpenSSL's own reason."""

    wall: float
    listener: str
    peer: str
    peer_port: int
    server_name: str | None
    cause: str
    certificate_subject: str | None = None
    certificate_fingerprint: str | None = None
