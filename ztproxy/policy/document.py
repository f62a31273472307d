"""The input document: what a policy gets to see of a request (DESIGN §3, docs/policy-input.md).

It is written straight to JSON. What many requests share (TLS, certificate, token) is encoded once and kept under the
names of what it was made from, so that a request pays for its own part alone.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Hashable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from ztproxy.model import Admitted, Certificate, Fields, Reason, Refusal, Sans, Tls, Token

MAXIMUM_PARAMETERS = 1000
"""Query parameters; a request with more is refused, for a document without some of them would lie."""
MAXIMUM_KEPT = 1024
"""Encoded parts kept of each kind."""
_CREDENTIAL_WORDS = frozenset(
    {
        "apikey",
        "assertion",
        "auth",
        "authentication",
        "authorization",
        "bearer",
        "cookie",
        "cookie2",
        "credential",
        "credentials",
        "dpop",
        "jwt",
        "otp",
        "passphrase",
        "passwd",
        "password",
        "secret",
        "session",
        "sessionid",
        "token",
    }
)
# Browsers cannot set Authorization on a WebSocket, so clients put their tokens in the list of subprotocols.
_CREDENTIAL_NAMES = frozenset({"sec-websocket-protocol"})
# RFC 6750 §2.3 and what clients put beside it: never a credential here, and no less one for those who can use it.
_CREDENTIAL_PARAMETERS = frozenset(
    {"access_token", "api_key", "apikey", "client_secret", "id_token", "password", "refresh_token"}
)
_NULL = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode

Made = TypeVar("Made")


class _Request(msgspec.Struct, frozen=True, gc=False):
    id: str
    method: str
    scheme: str
    host: str
    port: int
    path: str
    segments: tuple[str, ...]
    query: dict[str, list[str]]
    headers: dict[str, list[str]]
    route: str
    protocol: str


class _Source(msgspec.Struct, frozen=True, gc=False):
    address: str | None
    port: int | None
    peer: str | None


class _Certificate(msgspec.Struct, frozen=True):
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


class _Token(msgspec.Struct, frozen=True):
    issuer: str
    subject: str
    audience: tuple[str, ...]
    claims: dict[str, Any]
    kind: str
    bound_to: str | None
    issued_at: str | None
    expires_at: str


class _Input(msgspec.Struct, frozen=True, gc=False):
    request: _Request
    source: _Source
    tls: msgspec.Raw
    certificate: msgspec.Raw
    token: msgspec.Raw


class _Kept(OrderedDict[Hashable, Made], Generic[Made]):
    """The last values made, by key; the oldest goes when it is full, so that strangers cannot make it grow."""

    def keep(self, key: Hashable, made: Made) -> Made:
        if len(self) >= MAXIMUM_KEPT:
            self.popitem(last=False)
        self[key] = made
        return made


class Documents:
    """Writes input documents and keeps the parts that requests share."""

    def __init__(self) -> None:
        self._tls: _Kept[msgspec.Raw] = _Kept()
        self._certificates: _Kept[msgspec.Raw] = _Kept()
        self._tokens: _Kept[tuple[Token, msgspec.Raw]] = _Kept()
        self._names: _Kept[str | None] = _Kept()

    def write(self, admitted: Admitted) -> bytes | Refusal:
        """The document of one request, JSON.

        Refuses with REQUEST_TOO_LARGE (more query parameters than a document holds), REQUEST_AMBIGUOUS (a query that
        two decoders could read differently) or TOKEN_MALFORMED (claims that JSON cannot say).
        """
        arrived = admitted.arrived
        connection = arrived.connection
        query: dict[str, list[str]] | Refusal = decode_query(arrived.query) if arrived.query else {}
        if isinstance(query, Refusal):
            return query
        token = self._token(admitted.token) if admitted.token is not None else _NULL
        if isinstance(token, Refusal):
            return token
        direct = arrived.source == connection.peer
        return _encode(
            _Input(
                _Request(
                    arrived.request_id,
                    arrived.method,
                    arrived.scheme,
                    arrived.host,
                    arrived.port,
                    arrived.path,
                    arrived.segments,
                    query,
                    self._headers(arrived.fields),
                    admitted.route,
                    arrived.protocol,
                ),
                _Source(
                    arrived.source or None, (connection.peer_port or None) if direct else None, connection.peer or None
                ),
                self._handshake(connection.tls) if connection.tls is not None else _NULL,
                self._certificate(admitted.certificate) if admitted.certificate is not None else _NULL,
                token,
            )
        )

    def _headers(self, fields: Fields) -> dict[str, list[str]]:
        headers: dict[str, list[str]] = {}
        names = self._names
        for raw, value in fields:
            try:
                name = names[raw]
            except KeyError:
                text = raw.decode("latin-1").lower()
                name = names.keep(raw, None if is_credential(text) else text)
            if name is None:
                continue
            if name in headers:
                headers[name].append(value.decode("latin-1"))
            else:
                headers[name] = [value.decode("latin-1")]
        return headers

    def _handshake(self, tls: Tls) -> msgspec.Raw:
        return self._tls.get(tls) or self._tls.keep(tls, msgspec.Raw(_encode(tls)))

    def _certificate(self, certificate: Certificate) -> msgspec.Raw:
        key = (certificate.fingerprint, certificate.revocation)
        return self._certificates.get(key) or self._certificates.keep(key, _certificate_part(certificate))

    def _token(self, token: Token) -> msgspec.Raw | Refusal:
        kept = self._tokens.get(token.digest)
        if kept is not None and kept[0] is token:
            return kept[1]
        try:
            part = _token_part(token)
        except (ValueError, TypeError, OverflowError, OSError, RecursionError) as wrong:
            return Refusal(Reason.TOKEN_MALFORMED, "The token's claims cannot be read.", f"claims: {wrong}")
        self._tokens.keep(token.digest, (token, part))
        return part


def is_credential(name: str) -> bool:
    """Whether a field, by its lower-case name, carries a credential: such fields never enter the document."""
    return (
        not _CREDENTIAL_WORDS.isdisjoint(re.split("[-_.]", name))
        or "api-key" in name
        or name.endswith(("-access-key", "-functions-key", "-subscription-key"))
        or name in _CREDENTIAL_NAMES
    )


def decode_query(query: str) -> dict[str, list[str]] | Refusal:
    """The query as a form (WHATWG URL §5.1): values by name, both in order; blank values stay, `;` separates nothing.

    Parameters that carry credentials are left out, as such fields are. Where the WHATWG's decoder mends (a bare percent
    sign, octets that are no UTF-8) others do it differently: refused.
    """
    if query.count("&") >= MAXIMUM_PARAMETERS:
        return Refusal(Reason.REQUEST_TOO_LARGE, f"More than {MAXIMUM_PARAMETERS} query parameters.", status_code=431)
    if "%" in query and re.search("%(?![0-9A-Fa-f]{2})", query):
        return Refusal(Reason.REQUEST_AMBIGUOUS, "The query has a percent sign that begins no escape.")
    parameters: dict[str, list[str]] = {}
    try:
        for parameter in query.split("&"):
            if parameter:
                raw, _, value = parameter.partition("=")
                name = _unquoted(raw)
                if name.lower() not in _CREDENTIAL_PARAMETERS:
                    parameters.setdefault(name, []).append(_unquoted(value))
    except UnicodeDecodeError:
        return Refusal(Reason.REQUEST_AMBIGUOUS, "The query's escapes are no UTF-8.")
    return parameters


def _unquoted(text: str) -> str:
    text = text.replace("+", " ")
    return unquote_to_bytes(text).decode("utf-8", "strict") if "%" in text else text


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _certificate_part(certificate: Certificate) -> msgspec.Raw:
    return msgspec.Raw(
        _encode(
            _Certificate(
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
        )
    )


def _token_part(token: Token) -> msgspec.Raw:
    claims = dict(token.claims)
    json.dumps(claims, allow_nan=False)  # msgspec would write NaN and infinity as null, and null means something else
    return msgspec.Raw(
        _encode(
            _Token(
                token.issuer,
                token.subject,
                token.audience,
                claims,
                token.kind,
                token.bound_to,
                _time(token.issued_at) if token.issued_at is not None else None,
                _time(token.expires_at),
            )
        )
    )
