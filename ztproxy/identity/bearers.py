"""Bearer tokens verified by a key of the issuer that they name, then by their claims; remembered by their hash."""

from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from ztproxy.config.spiffe_ids import SCHEME
from ztproxy.identity.claims import accept
from ztproxy.identity.tokens import UnverifiedToken, malformed, take_apart
from ztproxy.identity.trusted import Remembered, TrustedIssuer
from ztproxy.model import Reason, Refusal, Token

MAXIMUM_REMEMBERED = 65536
"""Tokens."""
MAXIMUM_OCTETS = 16 * 1024 * 1024
"""Of remembered tokens as received; their claims take several times as much memory."""


class Bearers:
    """The tokens of all configured issuers."""

    def __init__(
        self,
        issuers: Mapping[str, TrustedIssuer],
        maximum: int = MAXIMUM_REMEMBERED,
        maximum_octets: int = MAXIMUM_OCTETS,
    ) -> None:
        self._issuers = issuers
        self._maximum = maximum
        self._maximum_octets = maximum_octets
        self._octets = 0
        self._remembered: OrderedDict[bytes, Remembered] = OrderedDict()

    def recall(self, digest: bytes, counting: frozenset[str], wall: float) -> Token | None:
        """A token verified before; None when its time or its key is over, or it is for other routes.

        Args:
            digest: SHA-256 of the token.
            counting: the issuers whose tokens count on this route.
            wall: seconds since 1970.
        """
        known = self._remembered.get(digest)
        if known is None or known.token.issuer not in counting:
            return None
        if wall < known.ends_at and known.store.vouches(known.key, wall):
            return known.token
        del self._remembered[digest]
        self._octets -= known.size
        return None

    async def verify(
        self, token: bytes, digest: bytes, counting: frozenset[str], wall: float, monotonic: float
    ) -> Token | Refusal:
        """Verify a token by a key of its issuer, which must be among those `counting` before anything is fetched.

        Suspends only while the issuer's keys are fetched, which is bounded. Refuses with a reason that starts with
        `TOKEN_`, or `ISSUER_KEYS_UNAVAILABLE`.
        """
        unverified = take_apart(token, digest)
        if isinstance(unverified, Refusal):
            return unverified
        name = unverified.issuer
        if name not in counting and unverified.svid_issuer is not None:
            name = unverified.svid_issuer
        issuer = self._issuers.get(name) if name in counting else None
        if issuer is None:
            return Refusal(Reason.TOKEN_ISSUER_UNKNOWN)
        if name.startswith(SCHEME):
            if name != unverified.svid_issuer:
                return malformed("The token's `sub` is no SPIFFE ID of its trust domain.")
            unverified = msgspec.structs.replace(unverified, issuer=name)
        if unverified.algorithm not in issuer.algorithms:
            return Refusal(Reason.TOKEN_ALGORITHM_REFUSED)
        return await self._verify(unverified, issuer, wall, monotonic)

    async def _verify(
        self, unverified: UnverifiedToken, issuer: TrustedIssuer, wall: float, monotonic: float
    ) -> Token | Refusal:
        key = await issuer.store.find(unverified.key_id, unverified.algorithm, wall, monotonic)
        if isinstance(key, Refusal):
            return key
        if not key.verifies(unverified.algorithm, unverified.signed, unverified.signature):
            return Refusal(Reason.TOKEN_SIGNATURE_INVALID)
        token = accept(unverified, key.key_id, issuer.expected, wall)
        if isinstance(token, Token):
            ends_at = token.expires_at + issuer.expected.leeway
            size = len(unverified.signed) + len(unverified.signature)
            self._remember(Remembered(token, key.identity, issuer.store, ends_at, size))
        return token

    def _remember(self, verified: Remembered) -> None:
        """Keep it, and let the oldest go where there are too many."""
        if before := self._remembered.pop(verified.token.digest, None):
            self._octets -= before.size
        self._remembered[verified.token.digest] = verified
        self._octets += verified.size
        while len(self._remembered) > self._maximum or self._octets > self._maximum_octets:
            self._octets -= self._remembered.popitem(last=False)[1].size
