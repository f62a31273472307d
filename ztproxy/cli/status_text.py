"""The status for a person: what is wrong first, then a table for each kind of thing."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from ztproxy.cli.tables import Row, aligned, plain
from ztproxy.observe.fleet import FleetStatus
from ztproxy.observe.status import IssuerStatus, RevocationStatus, ServerStatus, WorkloadStatus

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
_ISSUERS = ("ISSUER", "KEYS", "FETCHED", "GOOD FOR", "STATE")


def lines(status: FleetStatus) -> Iterator[str]:
    """What `ztproxy status` prints; nothing that a file or an answer holds can steer the terminal."""
    return (plain(line) for line in _lines(status))


def issuer_lines(status: FleetStatus) -> Iterator[str]:
    """What `ztproxy issuers list` prints."""
    rows = [_issuer(one, status.at) for one in status.issuers]
    return (plain(line) for line in (aligned([_ISSUERS, *rows]) if rows else ("no issuers",)))


def _lines(status: FleetStatus) -> Iterator[str]:
    found = len(status.problems)
    verdict = f"{found} problem{'s' if found > 1 else ''}" if found else "all is well"
    yield f"ztproxy {status.version}: {verdict}"
    for problem in status.problems:
        yield f"  ! {problem}"
    for title, head, rows in _tables(status):
        if body := list(rows):
            yield ""
            yield title
            yield from (f"  {line}" for line in aligned([head, *body]))
    yield ""
    yield from (f"{name:<12}{said}" for name, said in _facts(status))


def _tables(status: FleetStatus) -> Iterator[tuple[str, Row, Iterable[Row]]]:
    now = status.at
    workers = (
        (str(one.number), str(one.pid or "-"), one.state, _ago(now - one.since), str(one.restarts))
        for one in status.workers
    )
    yield "workers", ("NUMBER", "PID", "STATE", "SINCE", "RESTARTS"), workers
    policies = (
        (one.revision[:12], one.engine, one.source, one.entrypoint, _ago(now - one.loaded_at))
        for one in status.policies
    )
    yield "policy", ("REVISION", "ENGINE", "FROM", "ENTRYPOINT", "LOADED"), policies
    listeners = ((one.bound, one.protocol, str(one.open), str(one.accepted)) for one in status.listeners)
    yield "listeners", ("ADDRESS", "PROTOCOL", "OPEN", "ACCEPTED"), listeners
    yield "issuers", _ISSUERS, (_issuer(one, now) for one in status.issuers)
    certificates = (
        (one.use, one.name, one.file, _date(one.not_after), _in(one.not_after - now)) for one in status.certificates
    )
    yield "certificates", ("USE", "OF", "FILE", "ENDS", "IN"), certificates
    lists = (_revocation(one, now) for one in status.revocation)
    known = ("LISTENER", "AUTHORITY", "FROM", "REVOKED", "MADE", "NEXT UPDATE IN", "STATE")
    yield "revocation", known, lists
    head = ("ROUTE", "SERVER", "STATE", "IN FLIGHT", "CONNECTIONS", "REQUESTS", "FAILURES", "RETRIES")
    yield "servers", head, map(_server, status.servers)


def _facts(status: FleetStatus) -> Iterator[tuple[str, str]]:
    now, reloads = status.at, status.reloads
    last = "" if reloads.last_success is None else f", configuration taken up {_ago(now - reloads.last_success)}"
    yield "reloads", f"{reloads.succeeded} done, {reloads.failed} failed{last}"
    if (limits := status.limits) is not None:
        buckets = f"{limits.buckets} buckets in the workers"
        state = {True: "answers", False: f"does not answer; {buckets}", None: buckets}[limits.up]
        yield "limits", f"{limits.storage}, {state}"
    if (workload := status.workload) is not None:
        yield "workload", _workload(workload, now)
    if (proofs := status.proofs) is not None:
        state = {True: "answers", False: "does not answer", None: f"{proofs.kept} remembered"}[proofs.up]
        yield "proofs", f"{proofs.storage}, {state}"
    if (memo := status.memo) is not None:
        asked = memo.hits + memo.misses
        share = f"{memo.hits / asked:.1%} of {asked} decisions" if asked else "nothing asked yet"
        yield "memo", f"{share}, {memo.entries} entries"
    if (sessions := status.sessions) is not None:
        open_now = "number not known" if sessions.open is None else f"{sessions.open} open"
        state = "" if sessions.up else ", does not answer"
        yield "sessions", f"{open_now} in {sessions.storage}{state}; {sessions.begun} begun so far"
    if (load := status.load) is not None:
        state = "refusing new work" if load.overloaded else "taking new work"
        refused = sum(load.refused.values())
        yield "load", f"{load.in_flight} requests under way; {state}, {refused} refused so far"
    if (streams := status.streams) is not None:
        open_now = ", ".join(f"{count} {kind}" for kind, count in streams.open.items() if count) or "none open"
        yield "streams", f"{open_now}; {sum(streams.ended.values())} ended and {streams.refused} refused so far"
    if (logs := status.logs) is not None:
        decisions = "" if logs.decisions_healthy is None else f", {logs.decisions_lost} decisions lost"
        yield "logs", f"{logs.access_lost} lines lost{decisions}"


def _issuer(one: IssuerStatus, now: float) -> Row:
    return (
        one.issuer,
        str(one.keys),
        "never" if one.fetched_at is None else _ago(now - one.fetched_at),
        "-" if one.good_until is None else _in(one.good_until - now),
        f"{one.failures} failures" if one.failures else "ok" if one.keys else "no keys",
    )


def _workload(one: WorkloadStatus, now: float) -> str:
    ours = "no SVID of our own" if one.not_after is None else f"{one.spiffe_id}, good for {_in(one.not_after - now)}"
    bundles = ", ".join(f"{bundle.trust_domain} ({bundle.authorities} authorities)" for bundle in one.bundles)
    return f"{ours}; from {one.source}; bundles of {bundles}"


def _revocation(one: RevocationStatus, now: float) -> Row:
    ocsp = one.kind == "ocsp"
    left = ("-" if ocsp else "never") if one.next_update is None else _in(one.next_update - now)
    made = "never" if one.this_update is None else _ago(now - one.this_update)
    state = f"{one.failures} failures" if one.failures else "ok"
    return one.listener, one.authority, one.source, str(one.revoked), made, left, state


def _server(one: ServerStatus) -> Row:
    state = "unhealthy" if not one.healthy else "left out" if one.ejected else "ok"
    counts = one.in_flight, one.connections, one.requests, one.failures, one.retries
    return one.route, one.server, state, *map(str, counts)


def _span(seconds: float) -> str:
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)} {name}"
    return f"{max(0, int(seconds))} s"


def _ago(seconds: float) -> str:
    return f"{_span(seconds)} ago"


def _in(seconds: float) -> str:
    return _span(seconds) if seconds > 0 else "over"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
