"""`input.certificate` and `input.token`: what a policy sees of who asks (docs/policy-input.md)."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from ztproxy.model import Certificate, Sans, Token


class CertificatePart(msgspec.Struct, frozen=True):
    """`input.certificate`."""

    subject: str
    common_name: str | None
    sans: Sans
    spiffe_id: str | None
    issuer: str
    serial: str
    fingerprint: str
    not_before: str
    not_after: str
    revocation: str


class TokenPart(msgspec.Struct, frozen=True):
    """`input.token`."""

    issuer: str
    subject: str
    audience: tuple[str, ...]
    claims: dict[str, Any]
    kind: str
    bound_to: str | None
    bound_key: str | None
    issued_at: str | None
    expires_at: str
    groups: tuple[str, ...]
    roles: tuple[str, ...]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def certificate_part(certificate: Certificate) -> CertificatePart:
    """A certificate as the policy sees it."""
    return CertificatePart(
        certificate.subject,
        certificate.common_name,
        certificate.sans,
        certificate.spiffe_id,
        certificate.issuer,
        certificate.serial,
        certificate.fingerprint,
        _time(certificate.not_before),
        _time(certificate.not_after),
        certificate.revocation,
    )


def token_part(token: Token) -> TokenPart:
    """A token as the policy sees it; raises ValueError and its like for claims that JSON cannot say."""
    claims = dict(token.claims)
    json.dumps(claims, allow_nan=False)  # msgspec would write NaN and infinity as null, and null means something else
    return TokenPart(
        token.issuer,
        token.subject,
        token.audience,
        claims,
        token.kind,
        token.bound_to,
        token.bound_key,
        _time(token.issued_at) if token.issued_at is not None else None,
        _time(token.expires_at),
        token.groups,
        token.roles,
    )
