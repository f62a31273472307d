"""What the verdict on a token rests on: an issuer as configured, and a token once it is verified."""

import msgspec

from ztproxy.identity.claims import Expected
from ztproxy.identity.issuers import KeyStore
from ztproxy.model import Token


class TrustedIssuer(msgspec.Struct, frozen=True):
    """An issuer as configured, and its keys."""

    algorithms: frozenset[str]
    expected: Expected
    store: KeyStore


class Remembered(msgspec.Struct, frozen=True):
    """A verified token, and what its verdict rests on: the key that verified it, and the time."""

    token: Token
    key: bytes
    store: KeyStore
    ends_at: float
    """Seconds since 1970; its expiry and the leeway of its issuer."""
    size: int
    """Octets of the token as received."""
