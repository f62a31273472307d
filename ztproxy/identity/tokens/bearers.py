"""Bearer tokens verified by a key of the issuer that they name, then by their claims; remembered by their hash.

Those that say nothing by themselves are verified by asking the one issuer that is asked on their route.
"""

from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from ztproxy.config.spiffe_ids import SCHEME
from ztproxy.identity.tokens.claims import accept
from ztproxy.identity.tokens.introspected import Said
from ztproxy.identity.tokens.introspection import Introspector
from ztproxy.identity.tokens.trusted import Remembered, TrustedIssuer
from ztproxy.identity.tokens.unverified import UnverifiedToken, is_opaque, malformed, take_apart
from ztproxy.model import Reason, Refusal, Token

MAXIMUM_REMEMBERED = 65536
"""Tokens."""
MAXIMUM_OCTETS = 16 * 1024 * 1024
"""Of remembered tokens as received, and of what was said of them; their claims take several times as much memory."""

_UNAVAILABLE = 503


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

        Suspends only while the issuer's keys are fetched or it is asked about the token, which is bounded. Refuses with
        a reason that starts with `TOKEN_`, or `ISSUER_KEYS_UNAVAILABLE`, or `INTROSPECTION_UNAVAILABLE`.
        """
        unverified = take_apart(token, digest)
        if isinstance(unverified, Refusal):
            asked = self._asked(counting)
            if asked is None or not is_opaque(token):
                return unverified
            return self._learnt(token, await asked.ask(token, digest, monotonic), asked)
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
        introspection = issuer.introspection
        asked = introspection if introspection is not None and introspection.settings.tokens == "all" else None
        if asked is not None and not asked.settings.verify_signatures:
            return self._learnt(token, await asked.ask(token, digest, monotonic), asked)
        if unverified.algorithm not in issuer.algorithms:
            return Refusal(Reason.TOKEN_ALGORITHM_REFUSED)
        verified = await self._verify(unverified, issuer, wall, monotonic)
        if isinstance(verified, Refusal):
            return verified
        if asked is None:
            self._remember(verified)
            return verified.token
        return self._learnt(token, await asked.confirm(token, verified.token, monotonic), asked, verified)

    async def _verify(
        self, unverified: UnverifiedToken, issuer: TrustedIssuer, wall: float, monotonic: float
    ) -> Remembered | Refusal:
        key = await issuer.store.find(unverified.key_id, unverified.algorithm, wall, monotonic)
        if isinstance(key, Refusal):
            return key
        if not key.verifies(unverified.algorithm, unverified.signed, unverified.signature):
            return Refusal(Reason.TOKEN_SIGNATURE_INVALID)
        token = accept(unverified, key.key_id, issuer.expected, wall)
        if isinstance(token, Refusal):
            return token
        size = len(unverified.signed) + len(unverified.signature)
        return Remembered(token, key.identity, issuer.store, token.expires_at + issuer.expected.leeway, size)

    def _asked(self, counting: frozenset[str]) -> Introspector | None:
        """Who is asked about an opaque token; the configuration leaves one at most."""
        for name in counting:
            issuer = self._issuers.get(name)
            if issuer is not None and issuer.introspection is not None:
                return issuer.introspection
        return None

    def _learnt(
        self,
        presented: bytes,
        found: tuple[Token, Said] | Refusal,
        asked: Introspector,
        verified: Remembered | None = None,
    ) -> Token | Refusal:
        """Remember what an issuer said of a token, for as long as its word counts, and its key where one verified it.

        It rests on the time that it was asked at: the answer may have taken long, and is old then.
        """
        if isinstance(found, Refusal):
            return found
        token, said = found
        key, store = (b"", asked) if verified is None else (verified.key, verified.store)
        size = len(presented) + said.size
        self._remember(Remembered(token, key, store, asked.ends_at(said, token), size, presented))
        return token

    def forget_said(self, issuer: str) -> None:
        """Forget what an issuer said of tokens: it is asked anew."""
        for digest, known in tuple(self._remembered.items()):
            if known.presented and known.token.issuer == issuer:
                del self._remembered[digest]
                self._octets -= known.size

    async def rejudge(self, token: Token, wall: float, monotonic: float) -> Refusal | None:
        """Why a token that an open stream rests on counts no more; None where it does, or where that cannot be told.

        Its key was withdrawn, its issuer has been away for too long, or says that it is not active. A stream outlives
        an issuer that cannot be asked about its token: it ends with the token in any case.
        """
        issuer = self._issuers.get(token.issuer)
        if issuer is None:
            return Refusal(Reason.TOKEN_ISSUER_UNKNOWN, cause="its issuer is not configured any more")
        asked, known = issuer.introspection, self._remembered.get(token.digest)
        if asked is not None and (refusal := asked.refused(token.digest, monotonic)):
            return refusal
        if known is None:
            gone = token.key_id is not None and issuer.store.withdrew(token.key_id)
            return Refusal(Reason.TOKEN_KEY_UNKNOWN) if gone else None
        if not known.store.vouches(known.key, wall):
            return Refusal(Reason.TOKEN_KEY_UNKNOWN)
        if wall < known.ends_at or not known.presented:
            return None
        counting = frozenset([token.issuer])
        again = await self.verify(known.presented, token.digest, counting, wall, monotonic)
        return again if isinstance(again, Refusal) and again.status != _UNAVAILABLE else None

    def _remember(self, verified: Remembered) -> None:
        """Keep it, and let the oldest go where there are too many."""
        if before := self._remembered.pop(verified.token.digest, None):
            self._octets -= before.size
        self._remembered[verified.token.digest] = verified
        self._octets += verified.size
        while len(self._remembered) > self._maximum or self._octets > self._maximum_octets:
            self._octets -= self._remembered.popitem(last=False)[1].size
