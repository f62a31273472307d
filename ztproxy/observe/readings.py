"""A status read as figures: what `ztproxy status` says and what the metrics say is one and the same."""

from collections.abc import Iterable, Iterator

from ztproxy.observe import catalogue as series
from ztproxy.observe.series import Reading
from ztproxy.observe.status import (
    Basis,
    Judging,
    ListenerStatus,
    LoadStatus,
    LogsStatus,
    QueueStatus,
    RevocationStatus,
    ServerStatus,
    SessionsStatus,
    StreamsStatus,
    WorkloadStatus,
)


def of_basis(basis: Basis, now: float) -> Iterator[Reading]:
    """Policy, issuers, certificates, revocation lists, workload identity; `now` in seconds since 1970."""
    policy = basis.policy
    yield series.POLICY_INFO, (policy.engine, policy.revision), 1
    yield series.POLICY_LOADED, (), policy.loaded_at
    for issuer in basis.issuers:
        of = (issuer.issuer,)
        yield series.ISSUER_KEYS, of, issuer.keys
        yield series.ISSUER_FAILURES, of, issuer.failures
        if issuer.fetched_at is not None:
            yield series.ISSUER_KEYS_AGE, of, max(0.0, now - issuer.fetched_at)
    for certificate in basis.certificates:
        yield series.CERTIFICATE_END, (certificate.use, certificate.name, certificate.file), certificate.not_after
    for revocation in basis.revocation:
        yield from _revocation(revocation, now)
    if basis.workload is not None:
        yield from _of_workload(basis.workload, now)


def _revocation(one: RevocationStatus, now: float) -> Iterator[Reading]:
    of = (one.listener, one.authority, one.source)
    yield series.REVOCATION_FAILURES, of, one.failures
    if one.this_update is not None:
        yield series.REVOCATION_AGE, of, max(0.0, now - one.this_update)
    if one.kind != "ocsp":
        yield series.REVOCATION_END, of, one.next_update or 0.0


def _of_workload(workload: WorkloadStatus, now: float) -> Iterator[Reading]:
    """Our SVID's end, and how the bundles stand."""
    if workload.spiffe_id is not None and workload.not_after is not None:
        yield series.SVID_END, (workload.spiffe_id,), workload.not_after
    for bundle in workload.bundles:
        of = (bundle.trust_domain,)
        yield series.BUNDLE_AUTHORITIES, of, bundle.authorities
        yield series.BUNDLE_KEYS, of, bundle.keys
        yield series.BUNDLE_AGE, of, max(0.0, now - bundle.since)


def of_judging(judging: Judging) -> Iterator[Reading]:
    """Limits, unchecked certificates, memo."""
    limits = judging.limits
    for rule, count in limits.charged.items():
        yield series.LIMIT_CHARGES, (rule,), count
    for rule, count in limits.shadow_refused.items():
        yield series.LIMIT_SHADOW, (rule,), count
    yield series.LIMIT_BUCKETS, (), limits.buckets
    if limits.up is not None:
        yield series.LIMIT_STORAGE_UP, (), limits.up
    for listener, count in judging.unchecked.items():
        yield series.REVOCATION_UNCHECKED, (listener,), count
    for listener, count in judging.late.items():
        yield series.REVOCATION_LATE, (listener,), count
    for outcome, count in judging.ocsp.items():
        yield series.OCSP_QUESTIONS, (outcome,), count
    for one in judging.introspection:
        yield series.INTROSPECTIONS_WAITING, (one.issuer,), one.waiting
        for outcome, count in one.outcomes.items():
            yield series.INTROSPECTIONS, (one.issuer, outcome), count
    proofs = judging.proofs
    if proofs is not None and proofs.up is not None:
        yield series.PROOF_STORE_UP, (), proofs.up
    if proofs is not None and proofs.kept is not None:
        yield series.PROOFS, (), proofs.kept
    memo = judging.memo
    if memo is not None:
        yield series.MEMO_HITS, (), memo.hits
        yield series.MEMO_MISSES, (), memo.misses
        yield series.MEMO_ENTRIES, (), memo.entries
    if judging.sessions is not None:
        yield from _of_sessions(judging.sessions)


def _of_sessions(sessions: SessionsStatus) -> Iterator[Reading]:
    if sessions.open is not None:
        yield series.SESSIONS, (), sessions.open
    yield series.SESSIONS_STORAGE_UP, (), sessions.up
    yield series.SESSIONS_BEGUN, (), sessions.begun
    for why, count in sessions.ended.items():
        yield series.SESSIONS_ENDED, (why,), count
    for outcome, count in sessions.refreshed.items():
        yield series.SESSIONS_REFRESHED, (outcome,), count


def of_servers(servers: Iterable[ServerStatus]) -> Iterator[Reading]:
    """The servers of all routes."""
    for server in servers:
        of = (server.route, server.server)
        yield series.UPSTREAM_REQUESTS, of, server.requests
        yield series.UPSTREAM_FAILURES, of, server.failures
        yield series.UPSTREAM_RETRIES, of, server.retries
        yield series.UPSTREAM_CHECKS, of, server.checks
        yield series.UPSTREAM_IN_FLIGHT, of, server.in_flight
        yield series.UPSTREAM_CONNECTIONS, of, server.connections
        yield series.UPSTREAM_IDLE, of, server.idle
        yield series.UPSTREAM_HEALTHY, of, server.healthy
        yield series.UPSTREAM_EJECTED, of, server.ejected


def of_queues(queues: Iterable[QueueStatus]) -> Iterator[Reading]:
    """What waits in front of servers."""
    for queue in queues:
        of = (queue.route,)
        yield series.UPSTREAM_QUEUED, of, queue.waiting
        yield series.UPSTREAM_QUEUE_REFUSALS, of, queue.refused
        yield series.UPSTREAM_RETRIES_DENIED, of, queue.retries_denied


def of_listeners(listeners: Iterable[ListenerStatus]) -> Iterator[Reading]:
    """Connections and handshakes."""
    for listener in listeners:
        of = (listener.address,)
        yield series.CONNECTIONS, of, listener.open
        yield series.ACCEPTED, of, listener.accepted
        for bound, count in listener.refused.items():
            yield series.CONNECTIONS_REFUSED, (listener.address, bound), count
        if listener.protocol == "https":
            yield series.HANDSHAKES_UNDER_WAY, of, listener.handshakes_under_way
            yield series.HANDSHAKES, (listener.address, "completed"), listener.handshakes


def of_load(load: LoadStatus) -> Iterator[Reading]:
    """What is under way."""
    yield series.IN_FLIGHT, (), load.in_flight
    yield series.OVERLOADED, (), load.overloaded
    for bound, count in load.refused.items():
        yield series.OVERLOAD_REFUSALS, (bound,), count


def of_streams(streams: StreamsStatus) -> Iterator[Reading]:
    """Upgraded connections and long responses."""
    for kind, count in streams.open.items():
        yield series.STREAMS, (kind,), count
    for kind, count in streams.opened.items():
        yield series.STREAMS_OPENED, (kind,), count
    for reason, count in streams.ended.items():
        yield series.STREAMS_ENDED, (reason,), count
    yield series.STREAMS_REFUSED, (), streams.refused


def of_logs(logs: LogsStatus) -> Iterator[Reading]:
    """What logs could not keep."""
    yield series.LOST, ("access",), logs.access_lost
    if logs.decisions_healthy is not None:
        yield series.LOST, ("decisions",), logs.decisions_lost
