"""The workers' words as one document, the worst of each: what `ztproxy status --json` prints."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

import ztproxy
from ztproxy.observe.status import (
    CertificateStatus,
    IntrospectionStatus,
    IssuerStatus,
    LimitsStatus,
    ListenerStatus,
    LoadStatus,
    LogsStatus,
    MemoStatus,
    PolicyStatus,
    ProofsStatus,
    QueueStatus,
    RevocationStatus,
    ServerStatus,
    SessionsStatus,
    StreamsStatus,
    WorkerStatus,
    WorkloadStatus,
)

One = TypeVar("One")
FORMAT = 1


class WorkerLine(msgspec.Struct, frozen=True):
    """A worker process, as the supervisor sees it."""

    pid: int
    """0 while there is none."""
    state: str
    """`starting`, `ready`, `draining`, or `dead` until another takes its place."""
    since: float
    restarts: int = 0
    """How often it had to be started again."""
    number: int = 0
    """Its place; the one that takes its place has the same."""


class Reloads(msgspec.Struct, frozen=True):
    """What became of reloads."""

    succeeded: int = 0
    failed: int = 0
    last_success: float | None = None
    """The start counts as one."""
    last_failure: float | None = None
    problems: tuple[str, ...] = ()
    """Of the last reload, if it failed; what was there before is still in use."""
    identity: str = ""
    """Why the workload identity in use may not be the newest; empty when it is, and without `spiffe`."""


class FleetStatus(msgspec.Struct, frozen=True):
    """The whole proxy. `problems` is empty when all is well."""

    format: int
    """1; a change that is no addition would make it 2."""
    version: str
    at: float
    """When this was written."""
    problems: tuple[str, ...]
    workers: tuple[WorkerLine, ...]
    reloads: Reloads
    policies: tuple[PolicyStatus, ...]
    """One, unless workers differ."""
    listeners: tuple[ListenerStatus, ...]
    issuers: tuple[IssuerStatus, ...]
    certificates: tuple[CertificateStatus, ...]
    revocation: tuple[RevocationStatus, ...]
    servers: tuple[ServerStatus, ...]
    queues: tuple[QueueStatus, ...]
    limits: LimitsStatus | None
    """Null where no worker answers; so are the ones below."""
    memo: MemoStatus | None
    sessions: SessionsStatus | None
    """Null also where nobody logs in."""
    proofs: ProofsStatus | None
    """Null also where proofs are not understood."""
    logs: LogsStatus | None
    load: LoadStatus | None
    streams: StreamsStatus | None
    workload: WorkloadStatus | None = None
    """Null without `spiffe`."""
    introspection: tuple[IntrospectionStatus, ...] = ()


def joined(
    statuses: Sequence[WorkerStatus], workers: Sequence[WorkerLine], reloads: Reloads, now: float
) -> FleetStatus:
    """All workers' words as one; sums of what is counted, and of what can be good or bad the worst."""
    bases = [one.basis for one in statuses]
    judging = [one.judging for one in statuses]
    return FleetStatus(
        format=FORMAT,
        version=ztproxy.__version__,
        at=now,
        problems=(),
        workers=tuple(workers),
        reloads=reloads,
        policies=_by(lambda one: one.revision, _older, (one.policy for one in bases)),
        listeners=_by(lambda one: (one.address, one.bound), _listener, (one for s in statuses for one in s.listeners)),
        issuers=_by(lambda one: one.issuer, _issuer, (one for basis in bases for one in basis.issuers)),
        certificates=_by(
            lambda one: (one.use, one.name, one.file),
            lambda a, b: min(a, b, key=lambda one: one.not_after),
            (one for basis in bases for one in basis.certificates),
        ),
        revocation=_by(
            lambda one: (one.listener, one.authority, one.source),
            lambda a, b: min(
                a, b, key=lambda one: (one.this_update is not None, one.next_update or 0.0, -one.failures)
            ),
            (one for basis in bases for one in basis.revocation),
        ),
        servers=_by(lambda one: (one.route, one.server), _server, (one for s in statuses for one in s.servers)),
        queues=_by(lambda one: one.route, _queue, (one for s in statuses for one in s.queues)),
        limits=_all(_limits, (one.limits for one in judging)),
        memo=_all(_memo, (one.memo for one in judging if one.memo is not None)),
        sessions=_all(_sessions, (one.sessions for one in judging if one.sessions is not None)),
        proofs=_all(_proofs, (one.proofs for one in judging if one.proofs is not None)),
        logs=_all(_logs, (one.logs for one in statuses)),
        load=_all(_load, (one.load for one in statuses)),
        streams=_all(_streams, (one.streams for one in statuses if one.streams is not None)),
        workload=_all(_workload, (one.workload for one in bases if one.workload is not None)),
        introspection=_by(lambda one: one.issuer, _introspection, (one for j in judging for one in j.introspection)),
    )


def _by(key: Callable[[One], Hashable], join: Callable[[One, One], One], found: Iterable[One]) -> tuple[One, ...]:
    kept: dict[Hashable, One] = {}
    for one in found:
        name = key(one)
        kept[name] = join(kept[name], one) if name in kept else one
    return tuple(kept.values())


def _all(join: Callable[[One, One], One], found: Iterable[One]) -> One | None:
    joined = _by(lambda _: None, join, found)
    return joined[0] if joined else None


def _older(a: PolicyStatus, b: PolicyStatus) -> PolicyStatus:
    return min(a, b, key=lambda one: one.loaded_at)


def _listener(a: ListenerStatus, b: ListenerStatus) -> ListenerStatus:
    return replace(
        a,
        open=a.open + b.open,
        accepted=a.accepted + b.accepted,
        handshakes=a.handshakes + b.handshakes,
        handshakes_under_way=a.handshakes_under_way + b.handshakes_under_way,
        refused=_sums(a.refused, b.refused),
    )


def _issuer(a: IssuerStatus, b: IssuerStatus) -> IssuerStatus:
    """The one whose keys are worse: none, or older."""
    return min(a, b, key=lambda one: (one.keys > 0, one.fetched_at or 0.0, -one.failures))


def _introspection(a: IntrospectionStatus, b: IntrospectionStatus) -> IntrospectionStatus:
    outcomes = dict(Counter(a.outcomes) + Counter(b.outcomes))
    return IntrospectionStatus(a.issuer, a.waiting + b.waiting, outcomes, a.last_failure or b.last_failure)


def _server(a: ServerStatus, b: ServerStatus) -> ServerStatus:
    return replace(
        a,
        healthy=a.healthy and b.healthy,
        ejected=a.ejected or b.ejected,
        in_flight=a.in_flight + b.in_flight,
        connections=a.connections + b.connections,
        idle=a.idle + b.idle,
        requests=a.requests + b.requests,
        failures=a.failures + b.failures,
        retries=a.retries + b.retries,
        checks=a.checks + b.checks,
    )


def _queue(a: QueueStatus, b: QueueStatus) -> QueueStatus:
    return QueueStatus(a.route, a.waiting + b.waiting, a.refused + b.refused, a.retries_denied + b.retries_denied)


def _limits(a: LimitsStatus, b: LimitsStatus) -> LimitsStatus:
    up = a.up if b.up is None else b.up if a.up is None else a.up and b.up
    return replace(
        a,
        up=up,
        buckets=a.buckets + b.buckets,
        charged=_sums(a.charged, b.charged),
        shadow_refused=_sums(a.shadow_refused, b.shadow_refused),
    )


def _sessions(a: SessionsStatus, b: SessionsStatus) -> SessionsStatus:
    """They share one storage: how many are open is not added up."""
    return SessionsStatus(
        a.storage,
        a.up and b.up,
        max(a.open or 0, b.open or 0) if (a.open, b.open) != (None, None) else None,
        a.begun + b.begun,
        _sums(a.ended, b.ended),
        _sums(a.refreshed, b.refreshed),
        a.last_failure or b.last_failure,
    )


def _memo(a: MemoStatus, b: MemoStatus) -> MemoStatus:
    return MemoStatus(a.hits + b.hits, a.misses + b.misses, a.entries + b.entries)


def _proofs(a: ProofsStatus, b: ProofsStatus) -> ProofsStatus:
    up = a.up if b.up is None else b.up if a.up is None else a.up and b.up
    return ProofsStatus(a.storage, up, None if a.kept is None or b.kept is None else a.kept + b.kept)


def _logs(a: LogsStatus, b: LogsStatus) -> LogsStatus:
    healthy = None if a.decisions_healthy is None else a.decisions_healthy and b.decisions_healthy
    return LogsStatus(a.access_lost + b.access_lost, a.decisions_lost + b.decisions_lost, healthy)


def _load(a: LoadStatus, b: LoadStatus) -> LoadStatus:
    return LoadStatus(a.in_flight + b.in_flight, a.overloaded or b.overloaded, _sums(a.refused, b.refused))


def _streams(a: StreamsStatus, b: StreamsStatus) -> StreamsStatus:
    return StreamsStatus(
        _sums(a.open, b.open), _sums(a.opened, b.opened), _sums(a.ended, b.ended), a.refused + b.refused
    )


def _workload(a: WorkloadStatus, b: WorkloadStatus) -> WorkloadStatus:
    """The one that ends first."""
    return min(a, b, key=lambda one: one.not_after or 0.0)


def _sums(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    total = Counter(a)
    total.update(b)
    return dict(total)
