"""Every series that ztproxy exports; nothing is exported that is not here. docs/observability.md is made from it."""

from ztproxy.observe.series import Series, counter, gauge, histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_DECISION_SECONDS = (
    0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
)  # fmt: skip
_LAG_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# -- requests

REQUESTS = counter(
    "ztproxy_requests_total",
    "Requests that ended, by route, method and class of status.",
    "route", "method", "status",
)  # fmt: skip
REFUSALS = counter(
    "ztproxy_refusals_total",
    "Requests refused, by route (`-`: none was found yet) and reason; docs/troubleshooting.md lists the reasons.",
    "route", "reason",
)  # fmt: skip
DURATION = histogram(
    "ztproxy_request_duration_seconds",
    "From a request's head to the end of its response. Upgraded connections (101) are not among them.",
    _SECONDS, "route",
)  # fmt: skip
UPSTREAM_DURATION = histogram(
    "ztproxy_upstream_duration_seconds",
    "From the first octet written to a server to the end of its response.",
    _SECONDS, "route",
)  # fmt: skip
RECEIVED = counter("ztproxy_request_body_bytes_total", "Content of requests received.", "route")
SENT = counter("ztproxy_response_body_bytes_total", "Content of responses sent.", "route")
BROKEN = counter(
    "ztproxy_broken_responses_total",
    "Responses that did not end as they should have: the client or the server went away.",
    "route",
)

# -- decisions

DECISIONS = counter(
    "ztproxy_decisions_total",
    "Decisions, from the memo or not: `allow` (also of preflights that a route lets through), `deny`, or `error`: "
    "there was none that could be used.",
    "route", "result",
)  # fmt: skip
DECISION_DURATION = histogram(
    "ztproxy_decision_duration_seconds", "What the policy engine took for a decision.", _DECISION_SECONDS
)
MEMO_HITS = counter("ztproxy_memo_hits_total", "Decisions that the memo answered.")
MEMO_MISSES = counter("ztproxy_memo_misses_total", "Decisions that the memo was asked for and did not have.")
MEMO_ENTRIES = gauge("ztproxy_memo_entries", "Decisions in the memo.")
POLICY_INFO = gauge("ztproxy_policy_info", "1 for each policy in use.", "engine", "revision", over="max")
POLICY_LOADED = gauge("ztproxy_policy_loaded_timestamp_seconds", "When the policy in use was loaded.", over="min")

# -- limits

LIMIT_CHARGES = counter("ztproxy_limit_charges_total", "Requests that fitted into a rule's bucket.", "rule")
LIMIT_REFUSALS = counter("ztproxy_limit_refusals_total", "Requests refused because a rule's bucket was empty.", "rule")
LIMIT_SHADOW = counter(
    "ztproxy_limit_shadow_refusals_total", "Requests that a rule in shadow mode would have refused.", "rule"
)
LIMIT_BUCKETS = gauge("ztproxy_limit_buckets", "Buckets in use in the process.")
LIMIT_STORAGE_UP = gauge("ztproxy_limit_storage_up", "Whether the limits' shared storage answers: 1, or 0.", over="min")

# -- sessions

SESSIONS = gauge(
    "ztproxy_sessions", "Browsers' sessions that are open, in the storage that the workers share.", over="max"
)
SESSIONS_STORAGE_UP = gauge(
    "ztproxy_sessions_storage_up", "Whether the sessions' storage answered when last asked: 1, or 0.", over="min"
)
SESSIONS_BEGUN = counter("ztproxy_sessions_begun_total", "Sessions that began: logins, and logins made stronger.")
SESSIONS_ENDED = counter(
    "ztproxy_sessions_ended_total",
    "Sessions ended before their time: `logout`, `replaced` by a new login, `back-channel`, `revoked` by an operator, "
    "or `refused` by their issuer when they were to be refreshed.",
    "why",
)
SESSIONS_REFRESHED = counter(
    "ztproxy_sessions_refreshed_total",
    "Refreshes of sessions' claims: `done`, `ended` because the issuer refused, `away` because it did not answer.",
    "outcome",
)
# -- proofs of possession

PROOF_STORE_UP = gauge(
    "ztproxy_proof_store_up", "Whether the shared store of used proofs answers: 1, or 0.", over="min"
)
PROOFS = gauge("ztproxy_proofs", "Used proofs that the process remembers (`dpop.replay: memory://`).")

# -- upstreams

_SERVER = ("route", "server")
UPSTREAM_REQUESTS = counter("ztproxy_upstream_requests_total", "Requests handed to a server.", *_SERVER)
UPSTREAM_FAILURES = counter("ztproxy_upstream_failures_total", "Requests that a server failed.", *_SERVER)
UPSTREAM_RETRIES = counter(
    "ztproxy_upstream_retries_total", "Requests sent to a server that another one had failed.", *_SERVER
)
UPSTREAM_CHECKS = counter("ztproxy_upstream_checks_total", "Health checks made of a server.", *_SERVER)
UPSTREAM_QUEUED = gauge("ztproxy_upstream_queued", "Requests that wait for a route's servers.", "route")
UPSTREAM_QUEUE_REFUSALS = counter(
    "ztproxy_upstream_queue_refusals_total",
    "Requests that found every server of a route and the queue full, or waited too long.",
    "route",
)
UPSTREAM_RETRIES_DENIED = counter(
    "ztproxy_upstream_retries_denied_total", "Requests not sent again because the budget was spent.", "route"
)
UPSTREAM_IN_FLIGHT = gauge("ztproxy_upstream_requests_in_flight", "Requests under way at a server.", *_SERVER)
UPSTREAM_CONNECTIONS = gauge("ztproxy_upstream_connections", "Connections open to a server.", *_SERVER)
UPSTREAM_IDLE = gauge("ztproxy_upstream_idle_connections", "Of these, those that wait for a request.", *_SERVER)
UPSTREAM_HEALTHY = gauge(
    "ztproxy_upstream_healthy",
    "Whether a server's health checks pass: 1, or 0 where any worker finds that they fail.",
    *_SERVER, over="min",
)  # fmt: skip
UPSTREAM_EJECTED = gauge(
    "ztproxy_upstream_ejected", "Whether any worker leaves a server out after failures: 1, or 0.", *_SERVER, over="max"
)

# -- connections and trust

CONNECTIONS = gauge("ztproxy_connections", "Connections open, handshakes included.", "listener")
ACCEPTED = counter("ztproxy_connections_accepted_total", "Connections accepted.", "listener")
CONNECTIONS_REFUSED = counter(
    "ztproxy_connections_refused_total",
    "Connections closed at once because of a bound; `bound` is its key in the configuration.",
    "listener",
    "bound",
)
HANDSHAKES_UNDER_WAY = gauge("ztproxy_handshakes_in_progress", "TLS handshakes under way.", "listener")
HANDSHAKES = counter(
    "ztproxy_handshakes_total", "TLS handshakes by outcome: `completed`, or why they did not come about.",
    "listener", "outcome",
)  # fmt: skip
STREAMS = gauge("ztproxy_streams", "Streams open: upgraded connections and long responses.", "kind")
STREAMS_OPENED = counter("ztproxy_streams_opened_total", "Streams that were opened.", "kind")
STREAMS_ENDED = counter(
    "ztproxy_streams_ended_total",
    "Streams that the proxy ended, because the right to them did or by request.",
    "reason",
)
STREAMS_REFUSED = counter("ztproxy_streams_refused_total", "Streams refused: there were as many as there may be.")
CERTIFICATE_END = gauge(
    "ztproxy_certificate_not_after_timestamp_seconds",
    "When a certificate in use ends: one that a listener shows, that clients' certificates are verified with "
    "(`authority`), or that a route's servers are shown (`upstream`).",
    "use", "name", "file", over="min",
)  # fmt: skip
REVOCATION_END = gauge(
    "ztproxy_revocation_list_next_update_timestamp_seconds",
    "When a revocation list is no longer current; 0 where it was never had.",
    "listener", "authority", "source", over="min",
)  # fmt: skip
REVOCATION_AGE = gauge(
    "ztproxy_revocation_age_seconds",
    "Since a revocation list was made, or an OCSP responder answered last; absent as long as nothing was had.",
    "listener", "authority", "source", over="max",
)  # fmt: skip
REVOCATION_FAILURES = gauge(
    "ztproxy_revocation_fetch_failures",
    "Attempts in a row to fetch a revocation list, or to get an OCSP answer, that failed.",
    "listener", "authority", "source", over="max",
)  # fmt: skip
REVOCATION_LATE = counter(
    "ztproxy_revocation_late_total",
    "Requests let in by what was known of revocations before it was out of date, within the `grace`.",
    "listener",
)
OCSP_QUESTIONS = counter(
    "ztproxy_ocsp_questions_total",
    "Questions to OCSP responders: `answered`, `failed`, or `left_out` because too many waited.",
    "outcome",
)
REVOCATION_UNCHECKED = counter(
    "ztproxy_revocation_unchecked_total",
    "Requests let in although whether their certificate was revoked was not known (`on_unknown: allow`).",
    "listener",
)
ISSUER_KEYS = gauge("ztproxy_issuer_keys", "Keys of an issuer that count now.", "issuer", over="min")
ISSUER_KEYS_AGE = gauge(
    "ztproxy_issuer_keys_age_seconds",
    "Since an issuer's keys were last fetched; absent as long as they never were.",
    "issuer", over="max",
)  # fmt: skip
ISSUER_FAILURES = gauge(
    "ztproxy_issuer_fetch_failures", "Attempts in a row to fetch an issuer's keys that failed.", "issuer", over="max"
)

SVID_END = gauge("ztproxy_svid_not_after_timestamp_seconds", "When our own X509-SVID ends.", "spiffe_id", over="min")
BUNDLE_AUTHORITIES = gauge(
    "ztproxy_bundle_authorities",
    "Authorities in a trust domain's bundle; 0: none of its X509-SVIDs counts.",
    "trust_domain", over="min",
)  # fmt: skip
BUNDLE_KEYS = gauge("ztproxy_bundle_keys", "Keys of JWT-SVIDs in a trust domain's bundle.", "trust_domain", over="min")
BUNDLE_AGE = gauge(
    "ztproxy_bundle_age_seconds", "Since a trust domain's bundle came to be as it is.", "trust_domain", over="max"
)
INTROSPECTIONS = counter(
    "ztproxy_introspections_total",
    "Questions to an issuer about tokens: `active`, `inactive`, `failed`, or `refused` because too many waited.",
    "issuer", "outcome",
)  # fmt: skip
INTROSPECTIONS_WAITING = gauge(
    "ztproxy_introspections_waiting", "Tokens that an issuer is being asked about, or that wait for it.", "issuer"
)

# -- the process

IN_FLIGHT = gauge("ztproxy_requests_in_flight", "Requests under way.")
OVERLOADED = gauge("ztproxy_overloaded", "Whether any worker refuses new work: 1, or 0.", over="max")
OVERLOAD_REFUSALS = counter(
    "ztproxy_overload_refusals_total", "Requests refused at once; `bound` is its key in the configuration.", "bound"
)
LOOP_LAG = histogram(
    "ztproxy_event_loop_lag_seconds", "How late the event loop came to a timer of its own.", _LAG_SECONDS
)
LOST = counter("ztproxy_log_lost_total", "Lines or decisions that a log could not keep.", "log")
CPU = counter("ztproxy_process_cpu_seconds_total", "Processor time of a worker.", "worker")
RESIDENT = gauge("ztproxy_process_resident_memory_bytes", "Resident memory of a worker.", "worker")
DESCRIPTORS = gauge("ztproxy_process_open_fds", "File descriptors that a worker has open.", "worker")
STARTED = gauge("ztproxy_process_start_time_seconds", "When a worker started.", "worker", over="max")
BUILD_INFO = gauge("ztproxy_build_info", "1 for each version that runs.", "version", "python", "openssl", over="max")

# -- of all workers, told by the supervisor

WORKERS = gauge("ztproxy_workers", "Worker processes by state.", "state")
RESTARTS = counter("ztproxy_worker_restarts_total", "Workers started again after they died.")
RELOADS = counter("ztproxy_reloads_total", "Reloads by outcome: `ok`, or `failed` and nothing changed.", "outcome")
RELOAD_FAILING = gauge("ztproxy_reload_failing", "Whether the last reload failed: 1, or 0.", over="max")
RELOADED = gauge("ztproxy_reload_last_success_timestamp_seconds", "When a configuration was last taken up.", over="max")
IDENTITY_STALE = gauge(
    "ztproxy_workload_identity_stale",
    "Whether our workload identity may not be the newest: 1 while its source cannot be read, or the workers could "
    "not take up what it says; or 0.",
    over="max",
)

CATALOGUE: dict[str, Series] = {one.name: one for one in list(globals().values()) if isinstance(one, Series)}
"""By name, in the order above."""
