"""What the parts of a worker say of themselves, in the words of a status."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from cryptography import x509

from ztproxy.config.routes import Route
from ztproxy.config.settings import Settings
from ztproxy.edge.contexts import Contexts
from ztproxy.edge.listener import Listener
from ztproxy.edge.load import Load
from ztproxy.identity.discovery import MetadataStore
from ztproxy.identity.issuers import KeyStore
from ztproxy.identity.known import known
from ztproxy.identity.sessions.service import Sessions
from ztproxy.observe import AccessLog, DecisionLog
from ztproxy.observe.status import (
    Basis,
    BundleStatus,
    CertificateStatus,
    IntrospectionStatus,
    IssuerStatus,
    Judging,
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
    WorkloadStatus,
)
from ztproxy.parts import Parts
from ztproxy.spiffe.workload import Workload
from ztproxy.upstream import Upstreams


class StreamCounts(Protocol):
    """What the registry of streams says of itself."""

    @property
    def opened(self) -> Mapping[str, int]: ...
    @property
    def ended(self) -> Mapping[str, int]: ...

    refused: int

    @property
    def open(self) -> Mapping[str, int]: ...


class BasisOf:
    """What the decisions of one configuration rest on; what cannot change with it is read once."""

    def __init__(self, parts: Parts, loaded_at: float) -> None:
        self._parts = parts
        self.loaded_at = loaded_at
        self._certificates = tuple(_certificates(parts.settings, parts.contexts))

    def __call__(self, now: float) -> Basis:
        """As it stands at `now`, in seconds since 1970."""
        parts = self._parts
        policy = parts.settings.policy
        return Basis(
            PolicyStatus(
                policy.engine,
                policy.server.url if policy.engine == "server" else str(policy.path),
                policy.entrypoint,
                parts.engine.revision,
                self.loaded_at,
            ),
            tuple(_issuer(store, parts.identity.metadata[store.issuer], now) for store in parts.identity.stores),
            self._certificates,
            tuple(_revocation(parts)),
            None if parts.workload is None else _workload(parts.workload),
        )


def _issuer(store: KeyStore, metadata: MetadataStore, now: float) -> IssuerStatus:
    fetched_at = store.fetched_at
    good = now < store.usable_until
    return IssuerStatus(
        store.issuer,
        len(store.keys.keys) if good else 0,
        fetched_at,
        None if fetched_at is None else store.usable_until,
        store.failures,
        store.last_failure if store.failures else "",
        metadata.last_failure if metadata.failures else "",
    )


def _revocation(parts: Parts) -> Iterator[RevocationStatus]:
    for address, revocation in parts.identity.revocation.items():
        for authority, _ in revocation.sources:
            for one in known(authority):
                yield RevocationStatus(
                    address,
                    one.authority,
                    one.revoked,
                    one.made_at,
                    one.ends_at,
                    one.source,
                    one.kind,
                    one.failures,
                    one.last_failure,
                )


def _questions(parts: Parts) -> dict[str, int]:
    """To OCSP responders, all of them; empty where none is configured."""
    asked = [one.answers for one in parts.identity.authorities if one.answers is not None]
    if not asked:
        return {}
    return {
        "answered": sum(one.answered for one in asked),
        "failed": sum(one.failed for one in asked),
        "left_out": sum(one.left_out for one in asked),
    }


def _workload(workload: Workload) -> WorkloadStatus:
    svid = workload.svid
    return WorkloadStatus(
        workload.source,
        None if svid is None else svid.spiffe_id,
        None if svid is None else svid.not_before,
        None if svid is None else svid.not_after,
        tuple(
            BundleStatus(name, len(bundle.authorities), len(json.loads(bundle.keys)["keys"]), bundle.since)
            for name, bundle in workload.bundles.items()
        ),
    )


def _certificates(settings: Settings, contexts: Iterable[Contexts | None]) -> Iterator[CertificateStatus]:
    for listener, own in zip(settings.listeners, contexts, strict=True):
        for use, file, end in own.ends if own is not None else ():
            yield CertificateStatus(use, str(listener.address), file.name, end)
    for route in settings.routes:
        yield from _shown_to_servers(route)


def _shown_to_servers(route: Route) -> Iterator[CertificateStatus]:
    tls = None if route.upstream is None else route.upstream.tls
    file: Path | None = None if tls is None else tls.certificate
    if file is None:
        return
    try:
        end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):  # it was read a moment ago; whoever replaced it reloads
        return
    yield CertificateStatus("upstream", route.name, file.name, end.timestamp())


def judging_of(parts: Parts) -> Judging:
    """What limits, revocation lists and the memo have counted."""
    limits, memo = parts.limits, parts.policy.memo
    scheme = parts.settings.limits.storage.partition(":")[0]
    return Judging(
        LimitsStatus(
            "redis" if scheme == "rediss" else scheme,
            limits.storage_up,
            limits.buckets,
            dict(limits.charged),
            dict(limits.would_have_refused),
        ),
        {address: one.let_in_unchecked for address, one in parts.identity.revocation.items()},
        None if memo is None else MemoStatus(memo.hits, memo.misses, memo.entries),
        {address: one.let_in_late for address, one in parts.identity.revocation.items()},
        _questions(parts),
        proofs=_proofs(parts),
        sessions=_sessions(parts.identity.sessions, parts.settings),
        introspection=tuple(
            IntrospectionStatus(one.issuer, one.waiting, dict(one.outcomes), one.last_failure)
            for one in parts.identity.introspectors
        ),
    )


def _sessions(sessions: Sessions | None, settings: Settings) -> SessionsStatus | None:
    if sessions is None:
        return None
    upkeep, scheme = sessions.upkeep, settings.sessions.storage.partition(":")[0]
    return SessionsStatus(
        "redis" if scheme == "rediss" else scheme,
        sessions.up,
        sessions.open(),
        sessions.begun,
        dict(sessions.ended),
        dict(upkeep.counted),
        upkeep.last_failure,
    )


def _proofs(parts: Parts) -> ProofsStatus | None:
    dpop, possession = parts.settings.dpop, parts.identity.possession
    if dpop is None or possession is None:
        return None
    scheme = dpop.replay.partition(":")[0]
    return ProofsStatus("redis" if scheme == "rediss" else scheme, possession.replays.up, possession.replays.kept)


def servers_of(upstreams: Upstreams) -> Iterator[ServerStatus]:
    """The servers of all routes."""
    for one in upstreams.view():
        yield ServerStatus(
            one.route,
            one.server,
            one.healthy,
            one.ejected_until is not None,
            one.in_flight,
            one.connections,
            one.idle,
            one.requests,
            one.failures,
            one.retries,
            one.checks,
        )


def queues_of(upstreams: Upstreams) -> Iterator[QueueStatus]:
    """What waits in front of them."""
    for one in upstreams.queues():
        yield QueueStatus(one.route, one.waiting, one.refused, one.retries_denied)


def listeners_of(listeners: Iterable[Listener]) -> Iterator[ListenerStatus]:
    """The sockets that clients connect to."""
    for one in listeners:
        admission = one.admission
        yield ListenerStatus(
            one.name,
            one.address,
            "https" if one.secure else "http",
            one.open,
            one.accepted,
            one.completed,
            admission.handshakes,
            dict(admission.refused),
        )


def load_of(load: Load) -> LoadStatus:
    """What is under way."""
    return LoadStatus(load.in_flight, load.overloaded, dict(load.refused))


def streams_of(streams: StreamCounts) -> StreamsStatus:
    """Upgraded connections and long responses."""
    return StreamsStatus(dict(streams.open), dict(streams.opened), dict(streams.ended), streams.refused)


def logs_of(access: AccessLog, decisions: DecisionLog | None) -> LogsStatus:
    """Whether logs keep up."""
    if decisions is None:
        return LogsStatus(access.lost, 0, None)
    return LogsStatus(access.lost, decisions.lost, decisions.healthy)
