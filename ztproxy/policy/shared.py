"""The parts of the input document that many requests share: TLS, certificate, token; encoded once and kept.

A part is kept under the name of what it was made from. With places given, it holds what a policy looks at and no more.
"""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from ztproxy.model import Certificate, Reason, Refusal, Sans, Tls, Token
from ztproxy.policy.kept import Kept
from ztproxy.policy.places import Places, below, narrowed

NULL = b"null"
_encode = msgspec.json.Encoder().encode


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
    issued_at: str | None
    expires_at: str


class Shared:
    """Writes the shared parts of documents.

    Args:
        places: what of the input is looked at; None for all of it.
    """

    def __init__(self, places: Places | None = None) -> None:
        self._seen = {part: None if places is None else below(places, part) for part in ("tls", "certificate", "token")}
        self._tls: Kept[bytes] = Kept()
        self._certificates: Kept[bytes] = Kept()
        self._tokens: Kept[tuple[Token, bytes]] = Kept()

    def tls(self, tls: Tls | None) -> bytes:
        """`input.tls`, JSON."""
        if tls is None:
            return NULL
        return self._tls.get(tls) or self._tls.keep(tls, self._written("tls", tls))

    def certificate(self, certificate: Certificate | None) -> bytes:
        """`input.certificate`, JSON."""
        if certificate is None:
            return NULL
        key = (certificate.fingerprint, certificate.revocation)
        return self._certificates.get(key) or self._certificates.keep(
            key, self._written("certificate", _certificate_part(certificate))
        )

    def token(self, token: Token | None) -> bytes | Refusal:
        """`input.token`, JSON; refuses with TOKEN_MALFORMED claims that JSON cannot say."""
        if token is None:
            return NULL
        kept = self._tokens.get(token.digest)
        if kept is not None and kept[0] is token:
            return kept[1]
        try:
            part = self._written("token", _token_part(token))
        except (ValueError, TypeError, OverflowError, OSError, RecursionError) as wrong:
            return Refusal(Reason.TOKEN_MALFORMED, "The token's claims cannot be read.", f"claims: {wrong}")
        self._tokens.keep(token.digest, (token, part))
        return part

    def _written(self, name: str, part: Tls | CertificatePart | TokenPart) -> bytes:
        whole = _encode(part)  # also where less is seen: what JSON cannot say is refused either way
        seen = self._seen[name]
        if seen is None or () in seen:
            return whole
        return _encode(narrowed(_plain(part), seen))


def _plain(part: Any) -> dict[str, Any]:
    """A part as an object of its members."""
    plain = msgspec.structs.asdict(part)
    return {name: _plain(value) if isinstance(value, msgspec.Struct) else value for name, value in plain.items()}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _certificate_part(certificate: Certificate) -> CertificatePart:
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


def _token_part(token: Token) -> TokenPart:
    claims = dict(token.claims)
    json.dumps(claims, allow_nan=False)  # msgspec would write NaN and infinity as null, and null means something else
    return TokenPart(
        token.issuer,
        token.subject,
        token.audience,
        claims,
        token.kind,
        token.bound_to,
        _time(token.issued_at) if token.issued_at is not None else None,
        _time(token.expires_at),
    )
