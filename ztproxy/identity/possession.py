"""Whether whoever presents a token that is bound to a key has that key: the proof that comes along (RFC 9449 §4.3).

What costs least comes first, and the store of used proofs last: only who has the key can have a proof noted as used.
Keys are remembered, verdicts never: each request is proven by itself.
"""

import hashlib
import hmac
from collections import OrderedDict

from ztproxy.identity.nonces import Nonces, Standing
from ztproxy.identity.proof_target import is_target
from ztproxy.identity.proofs import ProofKey, Unfit, UnverifiedProof, check_times, read_header, take_apart
from ztproxy.identity.replays import MemoryReplays, Replays, StoreAwayError, Use
from ztproxy.identity.strict_json import encode_base64url
from ztproxy.model import Arrived, Fields, Reason, Refusal, Token

_KEYS = 4096
"""Keys of clients that are remembered."""
_RETRY = ((b"retry-after", b"1"),)
_NO_NONCE = Refusal(Reason.PROOF_NONCE_REQUIRED, "Make the proof with the nonce in DPoP-Nonce.")
_REPLAYED = Refusal(Reason.PROOF_REPLAYED)


class Possession:
    """Judges proofs.

    Args:
        algorithms: what proofs may be signed with.
        maximum_age: seconds that a proof may be old.
        leeway: seconds that a client's clock may be ahead.
        nonces: what proofs have to hold one of; None: none is asked for.
        replays: which proofs were used.
        source: what store that is, and for how long it remembers.
    """

    def __init__(
        self,
        algorithms: frozenset[str],
        maximum_age: float,
        leeway: float,
        nonces: Nonces | None,
        replays: Replays,
        *,
        source: tuple[str, float] = ("", 0.0),
    ) -> None:
        self._algorithms = algorithms
        self._maximum_age = maximum_age
        self._leeway = leeway
        self.nonces = nonces
        self.replays = replays
        self.since = 0.0
        """Proofs made before it are refused: another store may know that they were used. Seconds since 1970."""
        self._source = source
        self._keys: OrderedDict[bytes, ProofKey] = OrderedDict()
        """By the header that brought each along, as received."""
        self._headers: dict[str, bytes] = {}
        """By thumbprint: a client has one place in that memory, however it spells its key."""

    def take_over(self, previous: "Possession", now: float) -> None:
        """Go on with what was used before: what another store knows, this one refuses as a whole.

        Args:
            previous: what judged before.
            now: seconds since 1970.
        """
        self.since = previous.since if self._source == previous._source else now  # noqa: SLF001 - one of its own kind
        ours, theirs = self.replays, previous.replays
        if isinstance(ours, MemoryReplays) and isinstance(theirs, MemoryReplays):
            ours.take_over(theirs)

    async def check(self, arrived: Arrived, token: Token) -> Fields | Refusal:
        """What to tell a client whose proof holds for its request and its token; suspends only for a store far away.

        Refuses with PROOF_INVALID, PROOF_NONCE_REQUIRED, PROOF_REPLAYED, PROOF_STORE_UNAVAILABLE, or
        TOKEN_BINDING_MISMATCH where the proof is by another key than the token is bound to.
        """
        proofs = arrived.unverified_proofs
        if len(proofs) != 1:
            many = "There is more than one DPoP field." if proofs else "There is no proof in a DPoP field."
            return Refusal(Reason.PROOF_INVALID, many)
        try:
            proof = take_apart(proofs[0])
            key = self._keys.get(proof.header) or read_header(proof.header, self._algorithms)
            if token.bound_key is None or not hmac.compare_digest(key.thumbprint, token.bound_key):
                return Refusal(Reason.TOKEN_BINDING_MISMATCH, "The proof is by another key than the token is bound to.")
            self._remember(proof.header, key)
            _check_target(proof, arrived)
            made_at = check_times(proof.claims, self._maximum_age, self._leeway, arrived.wall)
            _check_token(proof, token)
        except Unfit as wrong:
            return Refusal(Reason.PROOF_INVALID, f"The proof does not hold: {wrong}.")
        told: Fields = ()
        if self.nonces is not None:
            standing = self.nonces.standing(proof.claims.get("nonce"), arrived.wall)
            if standing is Standing.WORTHLESS:
                return _NO_NONCE
            if standing is Standing.PASSING:
                told = ((b"dpop-nonce", self.nonces.current(arrived.wall).encode("ascii")),)
        if not key.key.verifies(key.algorithm, proof.signed, proof.signature):
            return Refusal(Reason.PROOF_INVALID, "The proof does not hold: its signature does not verify.")
        if made_at < self.since:
            return _too_old()
        return await self._use(proof, key, made_at, arrived.monotonic) or told

    def nonce(self, wall: float) -> str | None:
        """What proofs have to hold from `wall` (seconds since 1970) on; None: nothing."""
        return None if self.nonces is None else self.nonces.current(wall)

    async def _use(self, proof: UnverifiedProof, key: ProofKey, made_at: float, monotonic: float) -> Refusal | None:
        """Note the proof as used; refuse one that was, or of which that cannot be told."""
        name = hashlib.sha256(f"{key.thumbprint} {proof.token_id}".encode()).digest()
        try:
            use = await self.replays.use(name, made_at, monotonic)
        except StoreAwayError as wrong:
            return Refusal(Reason.PROOF_STORE_UNAVAILABLE, cause=str(wrong), fields=_RETRY)
        if use is Use.FIRST:
            return None
        return _REPLAYED if use is Use.REPEATED else _too_old()

    def _remember(self, header: bytes, key: ProofKey) -> None:
        """Keep a key that a verified token names: nobody else fills this memory."""
        if header in self._keys:
            return
        if before := self._headers.get(key.thumbprint):
            del self._keys[before]
        self._keys[header] = key
        self._headers[key.thumbprint] = header
        if len(self._keys) > _KEYS:
            _, oldest = self._keys.popitem(last=False)
            del self._headers[oldest.thumbprint]


def _too_old() -> Refusal:
    return Refusal(
        Reason.PROOF_INVALID, "The proof does not hold: it is from before proofs began to be remembered. Make another."
    )


def _check_target(proof: UnverifiedProof, arrived: Arrived) -> None:
    """Raise `Unfit` unless the proof is for this method and this URI."""
    if proof.claims.get("htm") != arrived.method:
        raise Unfit("its `htm` is not the request's method")
    uri = proof.claims.get("htu")
    if not isinstance(uri, str) or not is_target(uri, arrived.scheme, arrived.authority.decode("ascii"), arrived.path):
        raise Unfit("its `htu` is not what was asked for")


def _check_token(proof: UnverifiedProof, token: Token) -> None:
    """Raise `Unfit` unless the proof is for this token."""
    digest = proof.claims.get("ath")
    if not isinstance(digest, str) or digest != encode_base64url(token.digest):
        raise Unfit("its `ath` is not the SHA-256 of the token")
