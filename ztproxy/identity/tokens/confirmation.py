"""What a token is bound to: the claim `cnf` (RFC 7800), as far as it can be checked here."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ztproxy.identity.strict_json import MalformedError, decode_base64url
from ztproxy.model import Reason, Refusal

_CERTIFICATE, _KEY = "x5t#S256", "jkt"
_SHA256 = 32
"""Octets."""
_UNCHECKABLE = Refusal(Reason.TOKEN_BINDING_MISMATCH, "The token is bound in a way that cannot be checked.")
_MALFORMED = Refusal(Reason.TOKEN_BINDING_MISMATCH, "The token is bound to a malformed thumbprint.")


class Confirmation(msgspec.Struct, frozen=True):
    """What whoever presents a token has to hold; where it names two things, both."""

    certificate: str | None = None
    """The fingerprint of a certificate (RFC 8705 §3.1), lower-case hex as we write it."""
    key: str | None = None
    """The thumbprint of a key (RFC 9449 §6.1), base64url as it stands in the claim."""


_NONE = Confirmation()


def confirmation_of(claims: Mapping[str, Any]) -> Confirmation | Refusal:
    """What the claims bind their token to; nothing where they hold no `cnf`.

    A confirmation of any other kind cannot be checked, so it does not hold (RFC 7800 §3.1): TOKEN_BINDING_MISMATCH.
    """
    if "cnf" not in claims:
        return _NONE
    confirmation = claims["cnf"]
    if not isinstance(confirmation, dict) or not confirmation or confirmation.keys() - {_CERTIFICATE, _KEY}:
        return _UNCHECKABLE
    digests = {name: _digest(thumbprint) for name, thumbprint in confirmation.items()}
    if None in digests.values():
        return _MALFORMED
    certificate = digests.get(_CERTIFICATE)
    return Confirmation(None if certificate is None else certificate.hex(), confirmation.get(_KEY))


def _digest(thumbprint: object) -> bytes | None:
    """The SHA-256 that a thumbprint stands for, None when it stands for none."""
    if not isinstance(thumbprint, str):
        return None
    try:
        digest = decode_base64url(thumbprint.encode("ascii"))
    except (MalformedError, UnicodeEncodeError):
        return None
    return digest if len(digest) == _SHA256 else None
