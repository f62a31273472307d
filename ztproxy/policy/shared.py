"""The parts of the input document that many requests share: TLS, certificate, token; encoded once and kept.

A part is kept under the name of what it was made from. With places given, it holds what a policy looks at and no more.
"""

from typing import Any

import msgspec

from ztproxy.model import Certificate, Reason, Refusal, Tls, Token
from ztproxy.policy.identity_parts import CertificatePart, TokenPart, certificate_part, token_part
from ztproxy.policy.kept import Kept
from ztproxy.policy.places import Places, below, narrowed

NULL = b"null"
_encode = msgspec.json.Encoder().encode


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
            key, self._written("certificate", certificate_part(certificate))
        )

    def token(self, token: Token | None) -> bytes | Refusal:
        """`input.token`, JSON; refuses with TOKEN_MALFORMED claims that JSON cannot say."""
        if token is None:
            return NULL
        kept = self._tokens.get(token.digest)
        if kept is not None and kept[0] is token:
            return kept[1]
        try:
            part = self._written("token", token_part(token))
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
