"""What the verdict on a token rests on: an issuer as configured, and a token once it is verified."""

from typing import Protocol

import msgspec

from ztproxy.identity.claims import Expected
from ztproxy.identity.introspection import Introspector
from ztproxy.identity.issuers import KeyStore
from ztproxy.model import Token


class Vouching(Protocol):
    """Who stands for a token that was verified before."""

    def vouches(self, identity: bytes, wall: float) -> bool:
        """Whether what verified it still counts."""


class TrustedIssuer(msgspec.Struct, frozen=True):
    """An issuer as configured, its keys, and where it is asked about tokens."""

    algorithms: frozenset[str]
    expected: Expected
    store: KeyStore
    introspection: Introspector | None = None


class Remembered(msgspec.Struct, frozen=True):
    """A verified token, and what its verdict rests on: the key that verified it, and the time."""

    token: Token
    key: bytes
    store: Vouching
    ends_at: float
    """Seconds since 1970; its expiry and the leeway of its issuer, or sooner."""
    size: int
    """Octets of the token as received, and of what its issuer said about it."""
    presented: bytes = b""
    """The token itself where its issuer has to be asked about it again; else empty."""
