"""The lines of the access log, as they are written."""

import msgspec

from ztproxy.model import LimitStatus


class RequestEntry(msgspec.Struct, frozen=True, gc=False):
    """A request's line, in DESIGN's order. None is null: not known when the request ended."""

    time: str
    request_id: str
    listener: str
    route: str | None
    method: str | None
    host: str | None
    path: str | None
    status: int
    bytes_in: int
    bytes_out: int
    duration_ms: float
    upstream: str | None
    upstream_ms: float | None
    client: str
    certificate_fingerprint: str | None
    certificate_subject: str | None
    token_issuer: str | None
    token_subject: str | None
    decision: str | None
    """`allow` or `deny`; null when the policy was not asked."""
    reason: str | None
    policy_revision: str | None
    memo: str | None
    """`hit`, `miss` or `off`; null when the policy was not asked."""
    limit: LimitStatus | None


class HandshakeEntry(msgspec.Struct, frozen=True, gc=False, tag_field="event", tag="handshake-failed"):
    """A failed handshake's line; `event` tells it from a request's."""

    time: str
    listener: str
    client: str
    port: int
    server_name: str | None
    cause: str | None
    certificate_subject: str | None
    certificate_fingerprint: str | None
