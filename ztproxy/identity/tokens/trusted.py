"""What the verdict on a token rests on: an issuer as configured, and a token once it is verified."""

from typing import Protocol

import msgspec

from ztproxy.identity.issuers.keys import Key
from ztproxy.identity.tokens.claims import Expected
from ztproxy.identity.tokens.introspection import Introspector
from ztproxy.model import Refusal, Token


class Keys(Protocol):
    """Where the keys of an issuer are."""

    def vouches(self, identity: bytes, wall: float, /) -> bool:
        """Whether a key that verified a token before is still among the good ones."""

    def withdrew(self, key_id: str, /) -> bool:
        """Whether the keys are known, and none of this id is among them."""

    async def find(self, key_id: str | None, algorithm: str, wall: float, monotonic: float, /) -> Key | Refusal:
        """The key that a token names."""


class Vouching(Protocol):
    """Who stands for a token that was verified before."""

    def vouches(self, identity: bytes, wall: float) -> bool:
        """Whether what verified it still counts."""


class TrustedIssuer(msgspec.Struct, frozen=True):
    """An issuer as configured, its keys, and where it is asked about tokens."""

    algorithms: frozenset[str]
    expected: Expected
    store: Keys
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
