"""What in a status wants somebody's attention: `ztproxy status` prints it first and ends with 1."""

from collections.abc import Iterator

from ztproxy.observe.fleet import FleetStatus
from ztproxy.observe.status import RevocationStatus, WorkloadStatus

WARNED_BEFORE = 7 * 86400.0
"""Seconds before a certificate's end."""
READY = "ready"
RENEWED_BEFORE = 0.2
"""The part of an SVID's life that is left when it should have been renewed: agents do it after a half."""


def problems(status: FleetStatus) -> Iterator[str]:
    """Each in a sentence that names what is wrong."""
    yield from _workers(status)
    yield from _trust(status)
    for server in status.servers:
        if not server.healthy:
            yield f"route {server.route}: {server.server} fails its health checks"
        elif server.ejected:
            yield f"route {server.route}: {server.server} is left out after failures"
    if status.limits is not None and status.limits.up is False:
        yield f"limits: the storage ({status.limits.storage}) does not answer"
    if status.sessions is not None and not status.sessions.up:
        yield f"sessions: the storage ({status.sessions.storage}) does not answer: who is logged in is refused"
    if status.load is not None and status.load.overloaded:
        yield "overloaded: new requests are refused"
    if status.logs is not None and status.logs.decisions_healthy is False:
        yield "decisions cannot be recorded"


def _workers(status: FleetStatus) -> Iterator[str]:
    if not any(worker.state == READY for worker in status.workers):
        yield "no worker is ready"
    for worker in status.workers:
        if worker.state == "dead":
            yield f"worker {worker.number} died, {worker.restarts + 1} times by now, and is not replaced yet"
    for problem in status.reloads.problems:
        yield f"the last reload failed, and what was there before is still in use: {problem}"
    if status.reloads.identity:
        yield f"workload identity: what was known before is still in use: {status.reloads.identity}"
    if len(status.policies) > 1:
        revisions = ", ".join(policy.revision[:12] for policy in status.policies)
        yield f"workers decide by different policies: {revisions}"


def _trust(status: FleetStatus) -> Iterator[str]:
    now = status.at
    for issuer in status.issuers:
        if not issuer.keys:
            yield f"issuer {issuer.issuer}: no keys; its tokens are refused: {issuer.last_failure or 'not fetched yet'}"
        elif issuer.failures:
            yield f"issuer {issuer.issuer}: its keys cannot be fetched ({issuer.failures} times): {issuer.last_failure}"
        elif issuer.metadata_failure:
            yield f"issuer {issuer.issuer}: its metadata cannot be fetched: {issuer.metadata_failure}"
    for asked in status.introspection:
        if asked.last_failure:
            yield f"issuer {asked.issuer} cannot be asked about tokens: {asked.last_failure}"
    if status.workload is not None:
        yield from _workload(status.workload, now)
    for certificate in status.certificates:
        left = certificate.not_after - now
        if left < WARNED_BEFORE:
            end = "has expired" if left <= 0 else f"expires in {left / 86400:.1f} days"
            yield f"{certificate.name}: certificate {certificate.file} ({certificate.use}) {end}"
    for revocation in status.revocation:
        yield from _revocation(revocation, now)


def _revocation(one: RevocationStatus, now: float) -> Iterator[str]:
    place = f"{one.listener}: the revocation list of {one.authority}"
    if one.kind == "ocsp":
        if one.failures:
            yield f"{one.listener}: no OCSP answers about certificates of {one.authority}: {one.last_failure}"
    elif one.this_update is None:
        yield f"{place} was never had: {one.last_failure or 'not fetched yet'}"
    elif one.next_update is None or one.next_update <= now:
        yield f"{place} is not current" + (f": {one.last_failure}" if one.failures else "")
    elif one.failures:
        yield f"{place} cannot be fetched ({one.failures} times): {one.last_failure}"


def _workload(workload: WorkloadStatus, now: float) -> Iterator[str]:
    if workload.spiffe_id is not None and workload.not_before is not None and workload.not_after is not None:
        left = workload.not_after - now
        if left <= 0:
            yield f"our SVID {workload.spiffe_id} has expired"
        elif left < RENEWED_BEFORE * (workload.not_after - workload.not_before):
            yield f"our SVID {workload.spiffe_id} expires in {left / 60:.0f} min, and was not renewed"
    for bundle in workload.bundles:
        if not bundle.authorities and not bundle.keys:
            yield f"trust domain {bundle.trust_domain}: its bundle was withdrawn; none of its workloads counts"
