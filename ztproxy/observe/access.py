"""The access log: one JSON object a line for each request and for each handshake that failed."""

from typing import Self

from ztproxy.model import (
    Admitted,
    Arrived,
    Authorized,
    Certificate,
    Decision,
    Finished,
    HandshakeFailed,
    Identified,
    LimitStatus,
    Refusal,
    Refused,
    Stage,
    Token,
)
from ztproxy.observe.entries import HandshakeEntry, RequestEntry
from ztproxy.observe.lines import Lines
from ztproxy.observe.plain import line, short
from ztproxy.observe.times import Clockface

_IDENTIFIED = (Authorized, Admitted, Identified)


class AccessLog:
    """Writes requests as they finish. No query, no header value and no token is ever in it."""

    def __init__(self, lines: Lines | None) -> None:
        """Write to these lines; None: nowhere."""
        self._lines = lines
        self._time = Clockface()

    @classmethod
    def open(cls, target: str) -> Self:
        """Open `stdout`, `stderr`, `off` or a file; raises OSError."""
        return cls(None if target == "off" else Lines(target))

    @property
    def lost(self) -> int:
        """Lines that could not be kept or written since the start."""
        return 0 if self._lines is None else self._lines.lost

    def finished(self, finished: Finished) -> None:
        """Log a request at its end; does not block."""
        if self._lines is not None:
            self._lines.write(line(_request(finished, self._time(finished.wall))))

    def handshake_failed(self, failed: HandshakeFailed) -> None:
        """Log a handshake that did not come about; does not block."""
        if self._lines is None:
            return
        record = HandshakeEntry(
            self._time(failed.wall),
            failed.listener,
            failed.peer,
            failed.peer_port,
            short(failed.server_name),
            short(failed.cause),
            short(failed.certificate_subject),
            failed.certificate_fingerprint,
        )
        self._lines.write(line(record))

    def reopen(self) -> None:
        """Open the file anew, after it was moved away (SIGUSR1)."""
        if self._lines is not None:
            self._lines.reopen()

    def close(self) -> None:
        """Write what waits and close."""
        if self._lines is not None:
            self._lines.close()


def _request(finished: Finished, time: str) -> RequestEntry:
    """What is known of a request, however far it came."""
    outcome = finished.outcome
    at: Stage | Authorized | None
    decision: Decision | None = None
    limit: LimitStatus | None = None
    refusal: Refusal | None = None
    if isinstance(outcome, Authorized):
        at, decision, limit = outcome, outcome.decision, outcome.limit
    elif isinstance(outcome, Refused):
        at, refusal = outcome.at, outcome.refusal
        decision, limit = refusal.decision, refusal.limit
        if limit is None and isinstance(at, Admitted):
            limit = at.limit
    else:
        at = outcome.at
    arrived: Arrived | None
    if at is None or isinstance(at, Arrived):
        arrived, route = at, None
    else:
        arrived, route = at.arrived, at.route
    certificate: Certificate | None = None
    token: Token | None = None
    if isinstance(at, _IDENTIFIED):
        certificate, token = at.certificate, at.token
    upstream_duration = finished.upstream_duration
    return RequestEntry(
        time,
        finished.request_id,
        finished.connection.listener,
        route,
        None if arrived is None else arrived.method,
        None if arrived is None else arrived.host,
        None if arrived is None else arrived.path,
        finished.status,
        finished.bytes_in,
        finished.bytes_out,
        _milliseconds(finished.duration),
        finished.upstream,
        None if upstream_duration is None else _milliseconds(upstream_duration),
        finished.connection.peer if arrived is None else arrived.source,
        None if certificate is None else certificate.fingerprint,
        None if certificate is None else short(certificate.subject),
        None if token is None else short(token.issuer),
        None if token is None else short(token.subject),
        None if decision is None else "allow" if decision.allow else "deny",
        None if refusal is None else refusal.reason.word,
        (None if decision is None else decision.revision) or None,
        None if decision is None else decision.memo,
        limit,
    )


def _milliseconds(seconds: float) -> float:
    """To the microsecond."""
    return int(seconds * 1_000_000) / 1000
