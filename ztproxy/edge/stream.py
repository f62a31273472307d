"""A stream: whose it is, and when the right to it ends."""

from math import inf

import msgspec

from ztproxy.edge.websocket import CloseCode
from ztproxy.model import Authorized, Reason, Refusal, Right

RESPONSE = "response"
"""The kind of a stream that no protocol was switched for."""
_INVALID_TOKEN = ((b"WWW-Authenticate", b'Bearer error="invalid_token"'),)
"""RFC 6750 §3.1."""


class Ending(msgspec.Struct, frozen=True):
    """When a stream has to end, seconds since 1970, and what its client and the log are told."""

    at: float
    refusal: Refusal
    code: CloseCode


NEVER = Ending(inf, Refusal(Reason.INTERNAL_ERROR, cause="a stream without an end was ended"), CloseCode.GOING_AWAY)


class Stream(msgspec.Struct, frozen=True):
    """A stream and who opened it."""

    kind: str
    """The protocol switched to, as `websocket`, or `response`."""
    request_id: str
    since: float
    """Seconds since 1970."""
    route: str
    source: str
    certificate_fingerprint: str | None
    token_issuer: str | None
    token_subject: str | None
    token_digest: bytes | None
    policy_revision: str
    ending: Ending
    right: Right

    @property
    def identity(self) -> tuple[str, ...]:
        """Whose it is, for counting: a token's subject, else a certificate, else an address."""
        if self.token_issuer is not None and self.token_subject is not None:
            return (self.route, "token", self.token_issuer, self.token_subject)
        if self.certificate_fingerprint is not None:
            return (self.route, "certificate", self.certificate_fingerprint)
        return (self.route, "source", self.source)


def stream_of(authorized: Authorized, kind: str, began: float, lifetime: float | None, leeway: float) -> Stream:
    """The stream that an authorised request opened.

    Args:
        authorized: what opened it.
        kind: the protocol switched to, or `RESPONSE`.
        began: seconds since 1970.
        lifetime: the route's, seconds.
        leeway: seconds that the token counts past `exp`, as when the request was let in.
    """
    arrived, certificate, token = authorized.arrived, authorized.certificate, authorized.token
    return Stream(
        kind,
        arrived.request_id,
        began,
        authorized.route,
        arrived.source,
        None if certificate is None else certificate.fingerprint,
        None if token is None else token.issuer,
        None if token is None else token.subject,
        None if token is None else token.digest,
        authorized.decision.revision,
        _ending(authorized, began, lifetime, leeway),
        Right(arrived.connection.listener, arrived.host, authorized.route, certificate, token),
    )


def _ending(authorized: Authorized, began: float, lifetime: float | None, leeway: float) -> Ending:
    """The first of all that ends the right to a stream."""
    endings = [NEVER]
    if authorized.token is not None:
        cause = "the token that opened the stream has expired"
        refusal = Refusal(Reason.TOKEN_EXPIRED, cause=cause, fields=_INVALID_TOKEN)
        endings.append(Ending(authorized.token.expires_at + leeway, refusal, CloseCode.POLICY_VIOLATION))
    if authorized.certificate is not None:
        refusal = Refusal(Reason.CERTIFICATE_EXPIRED, cause="the certificate that opened the stream has expired")
        endings.append(Ending(authorized.certificate.not_after, refusal, CloseCode.POLICY_VIOLATION))
    if lifetime is not None:
        refusal = Refusal(Reason.UPSTREAM_TIMEOUT, cause="the stream has reached the route's `streams.lifetime`")
        endings.append(Ending(began + lifetime, refusal, CloseCode.GOING_AWAY))
    return min(endings, key=lambda ending: ending.at)
