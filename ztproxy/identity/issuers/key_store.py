"""One issuer's keys over time, and which of them a token means."""

from collections.abc import Awaitable, Callable

from ztproxy.identity.issuers.kept import RETRY_AFTER, Clock, Kept, Published
from ztproxy.identity.issuers.keys import Key, KeySet
from ztproxy.identity.issuers.saved import SavedDocument
from ztproxy.model import Reason, Refusal


class KeyStore(Kept[KeySet]):
    """The keys of one issuer; `ztproxy.identity.issuers.kept.Kept` says how they are kept."""

    def __init__(
        self,
        issuer: str,
        fetch: Callable[[], Awaitable[Published[KeySet]]],
        saved: SavedDocument[KeySet],
        max_stale: float,
        clock: Clock,
        *,
        source: object = None,
    ) -> None:
        super().__init__(issuer, fetch, saved, max_stale, clock, what="keys", nothing=KeySet(), source=source)

    @property
    def keys(self) -> KeySet:
        """The usable keys of the last successful fetch."""
        return self.content

    def summary(self, now: float) -> str:
        """How many keys there are, and until when they count if the issuer stays away."""
        if now >= self.usable_until:
            return f"issuer {self.issuer}: no keys yet"
        left = (self.usable_until - now) / 3600
        return f"issuer {self.issuer}: {len(self.content.keys)} keys, good for {left:.1f} hours without it"

    def vouches(self, identity: bytes, wall: float) -> bool:
        """Whether a key that verified a token before is still among the issuer's good ones."""
        return wall < self.usable_until and identity in self.content.identities

    def withdrew(self, key_id: str) -> bool:
        """Whether the issuer's keys are known, and none of this id is among them."""
        return self.fetched_at is not None and not self.content.has(key_id)

    async def find(self, key_id: str | None, algorithm: str, wall: float, monotonic: float) -> Key | Refusal:
        """The key that a token names; waits for a fetch only when it is not known, and at most `FETCH_TIME`.

        Refuses with `TOKEN_KEY_UNKNOWN`, or with `ISSUER_KEYS_UNAVAILABLE` when there are no good keys at all.
        """
        self._begin_if_due(monotonic)
        if key := self._find(key_id, algorithm, wall):
            return key
        await self.asked(monotonic)
        wall = max(wall, self._clock.wall())
        if key := self._find(key_id, algorithm, wall):
            return key
        if wall >= self.usable_until:
            cause = f"{self.issuer}: {self.last_failure}"
            return Refusal(Reason.ISSUER_KEYS_UNAVAILABLE, cause=cause, fields=RETRY_AFTER)
        return Refusal(Reason.TOKEN_KEY_UNKNOWN)

    def _find(self, key_id: str | None, algorithm: str, wall: float) -> Key | None:
        return self.content.find(key_id, algorithm) if wall < self.usable_until else None
