"""One issuer's keys over time: fetched when first needed, fresh in the background, kept while the issuer is away.

Each issuer has a store of its own, with its own connection and its own waiters: a slow one delays nobody else's tokens.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import msgspec

from ztproxy.identity.discovery import Published
from ztproxy.identity.fetching import FetchError
from ztproxy.identity.keys import Key, KeySet
from ztproxy.identity.saved_keys import Saved, SavedKeys
from ztproxy.identity.strict_json import MalformedError
from ztproxy.model import Reason, Refusal

FETCH_TIME = 5.0
"""Seconds for a fetch in all, discovery included."""
PAUSE = 5.0
"""Seconds between two fetches, however many ask."""
SHORTEST, USUAL, LONGEST = 300.0, 900.0, 3600.0
"""Seconds after which keys are asked for again: what Cache-Control may shorten to, its absence, and lengthen to."""
LONGEST_PAUSE = 60.0
"""Seconds between two attempts in the background while the issuer is away."""
_log = logging.getLogger("ztproxy.identity")


class Clock(msgspec.Struct, frozen=True):
    """Seconds since 1970, and seconds of the monotonic clock."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]


class Standing(msgspec.Struct, frozen=True):
    """What a store of keys knows."""

    source: object
    """Whom it asks, where, and how that one is verified."""
    keys: KeySet
    fetched_at: float
    """Seconds since 1970."""
    refresh_at: float
    next_attempt: float
    """Monotonic."""
    failures: int
    last_failure: str


class KeyStore:
    """The keys of one issuer.

    Invariant: `keys` are the usable keys of the last successful fetch, and count until `usable_until` (wall clock).
    """

    def __init__(
        self,
        issuer: str,
        fetch: Callable[[], Awaitable[Published]],
        saved: SavedKeys,
        max_stale: float,
        clock: Clock,
        *,
        source: object = None,
    ) -> None:
        self.issuer = issuer
        self.taken_over = False
        """Its keys are those of a store before it."""
        self._source = source
        self.keys = KeySet()
        self.usable_until = float("-inf")
        self.failures = 0
        """Attempts in a row that failed."""
        self.last_failure = ""
        self._fetch = fetch
        self._saved = saved
        self._max_stale = max_stale
        self._clock = clock
        self._next_attempt = float("-inf")
        """Monotonic: before it nobody makes us ask."""
        self._refresh_at = float("-inf")
        """Monotonic: from then on the next chance is taken to ask."""
        self._running: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._saving: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Take up the keys saved by an earlier run, as far as they are still good."""
        try:
            saved = self._saved.load(self._clock.wall())
        except (MalformedError, OSError) as wrong:
            _log.warning("saved keys of %s in %s are not used: %s", self.issuer, self._saved.path, wrong)
            return
        if saved is not None:
            self.keys = saved.keys
            self.usable_until = saved.fetched_at + self._max_stale

    def standing(self) -> "Standing":
        """How it stands, for a store that takes its place."""
        # What is being fetched here comes to nobody's use there: that one may ask at once.
        next_attempt = self._next_attempt if self._running is None else float("-inf")
        fetched_at = self.usable_until - self._max_stale
        return Standing(
            self._source, self.keys, fetched_at, self._refresh_at, next_attempt, self.failures, self.last_failure
        )

    def take_over(self, before: "Standing") -> None:
        """Go on with the keys and the schedule of a store that asked the same source in the same way."""
        usable_until = before.fetched_at + self._max_stale
        if self._source is None or self._source != before.source or usable_until < self.usable_until:
            return
        self.taken_over = True
        self.keys, self.usable_until = before.keys, usable_until
        self._refresh_at, self._next_attempt = before.refresh_at, before.next_attempt
        self.failures, self.last_failure = before.failures, before.last_failure

    def start(self) -> None:
        """Begin the first fetch and keep the keys fresh from then on, without waiting."""
        if self._clock.monotonic() >= self._refresh_at:
            self._begin()
        self._keeper = asyncio.get_running_loop().create_task(self._keep_fresh())

    async def close(self) -> None:
        """Stop asking; what is being saved is saved."""
        tasks = [task for task in (self._keeper, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._saving is not None:
            await self._saving

    def summary(self, now: float) -> str:
        """How many keys there are, and until when they count if the issuer stays away."""
        if now >= self.usable_until:
            return f"issuer {self.issuer}: no keys yet"
        left = (self.usable_until - now) / 3600
        return f"issuer {self.issuer}: {len(self.keys.keys)} keys, good for {left:.1f} hours without it"

    @property
    def fetched_at(self) -> float | None:
        """When its keys were last fetched, in seconds since 1970; None when they never were."""
        return None if self.usable_until == float("-inf") else self.usable_until - self._max_stale

    def vouches(self, identity: bytes, wall: float) -> bool:
        """Whether a key that verified a token before is still among the issuer's good ones."""
        return wall < self.usable_until and identity in self.keys.identities

    async def find(self, key_id: str | None, algorithm: str, wall: float, monotonic: float) -> Key | Refusal:
        """The key that a token names; waits for a fetch only when it is not known, and at most `FETCH_TIME`.

        Refuses with `TOKEN_KEY_UNKNOWN`, or with `ISSUER_KEYS_UNAVAILABLE` when there are no good keys at all.
        """
        if monotonic >= self._refresh_at:
            self._begin(monotonic)
        if key := self._find(key_id, algorithm, wall):
            return key
        self._begin(monotonic)
        if self._running is not None:
            await _end_of(self._running)
            wall = self._clock.wall()
            if key := self._find(key_id, algorithm, wall):
                return key
        if wall >= self.usable_until:
            retry = ((b"retry-after", b"%d" % PAUSE),)
            return Refusal(Reason.ISSUER_KEYS_UNAVAILABLE, cause=f"{self.issuer}: {self.last_failure}", fields=retry)
        return Refusal(Reason.TOKEN_KEY_UNKNOWN)

    def _find(self, key_id: str | None, algorithm: str, wall: float) -> Key | None:
        return self.keys.find(key_id, algorithm) if wall < self.usable_until else None

    def _begin(self, monotonic: float | None = None) -> None:
        """Ask now, in a task of its own, unless that is being done or was tried a moment ago."""
        now = self._clock.monotonic() if monotonic is None else monotonic
        if self._running is None and now >= self._next_attempt:
            self._next_attempt = now + PAUSE
            self._running = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIME):
                published = await self._fetch()
        except TimeoutError:
            self._failed(f"no answer within {FETCH_TIME:g} s")
        except FetchError as wrong:
            self._failed(str(wrong))
        else:
            self._succeeded(published)
        finally:
            self._running = None

    def _failed(self, cause: str) -> None:
        self.failures += 1
        self.last_failure = cause
        pause = min(PAUSE * 2 ** min(self.failures - 1, 8), LONGEST_PAUSE)
        self._refresh_at = self._clock.monotonic() + pause
        _log.warning("keys of %s could not be fetched (attempt %d): %s", self.issuer, self.failures, cause)

    def _succeeded(self, published: Published) -> None:
        """From here on exactly these keys count: what is no longer among them is gone, with what it verified."""
        wall = self._clock.wall()
        self.keys = published.keys
        self.usable_until = wall + self._max_stale
        self.failures = 0
        fresh_for = USUAL if published.fresh_for is None else float(published.fresh_for)
        self._refresh_at = self._clock.monotonic() + min(max(fresh_for, SHORTEST), LONGEST)
        if self._saving is None:
            self._saving = asyncio.get_running_loop().create_task(self._save(Saved(published.keys, wall)))

    async def _save(self, saved: Saved) -> None:
        """Nobody waits for the disk: it has a task of its own."""
        try:
            await asyncio.to_thread(self._saved.save, saved)
        except OSError as wrong:
            _log.warning("keys of %s could not be saved: %s", self.issuer, wrong)
        finally:
            self._saving = None

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(min(max(self._refresh_at - self._clock.monotonic(), 1.0), LONGEST_PAUSE))
            if self._clock.monotonic() >= self._refresh_at:
                self._begin()


async def _end_of(task: asyncio.Task[None]) -> None:
    """Wait for a task that others wait for too: cancelling one who waits leaves the task alone.

    A plain future, because a request runs without a task of its own at first.
    """
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(_: asyncio.Task[None]) -> None:
        if not ended.done():
            ended.set_result(None)

    task.add_done_callback(tell)
    await ended
