"""One document of an issuer over time: fetched when first needed, fresh in the background, kept while it is away.

Its keys and its metadata are kept so. Each has a task and waiters of its own: a slow issuer delays nobody else's.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from ztproxy.identity.issuers.fetching import FetchError
from ztproxy.identity.issuers.saved import Saved, SavedDocument
from ztproxy.identity.strict_json import MalformedError
from ztproxy.identity.waiting import end_of

FETCH_TIME = 5.0
"""Seconds for a fetch in all, discovery included."""
PAUSE = 5.0
"""Seconds between two fetches, however many ask."""
SHORTEST, USUAL, LONGEST = 300.0, 900.0, 3600.0
"""Seconds after which it is asked for again: what Cache-Control may shorten to, its absence, and lengthen to."""
LONGEST_PAUSE = 60.0
"""Seconds between two attempts in the background while the issuer is away."""
RETRY_AFTER = ((b"retry-after", b"%d" % PAUSE),)
"""What a refusal tells whoever came while the issuer was away."""
_log = logging.getLogger("ztproxy.identity")

Content = TypeVar("Content")


class Clock(msgspec.Struct, frozen=True):
    """Seconds since 1970, and seconds of the monotonic clock."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]


class Published(msgspec.Struct, Generic[Content], frozen=True):
    """What an issuer publishes now, and for how many seconds it calls that fresh; None when it does not say."""

    content: Content
    fresh_for: int | None


class Standing(msgspec.Struct, Generic[Content], frozen=True):
    """What is known of a document."""

    source: object
    """Whom it is asked of, where, and how that one is verified."""
    content: Content
    fetched_at: float
    """Seconds since 1970."""
    refresh_at: float
    next_attempt: float
    """Monotonic."""
    failures: int
    last_failure: str


class Kept(Generic[Content]):
    """One document of one issuer.

    Invariant: `content` is that of the last successful fetch, and counts until `usable_until` (wall clock).

    Args:
        issuer: whose it is.
        fetch: asks for it; raises `FetchError`.
        saved: where it outlives the process.
        max_stale: seconds that it counts after it was fetched.
        clock: what time it is.
        what: its name for the log.
        nothing: the content before the first fetch.
        source: whom it is asked of, where, and how that one is verified; None: nothing is taken over from another.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Callable[[], Awaitable[Published[Content]]],
        saved: SavedDocument[Content],
        max_stale: float,
        clock: Clock,
        *,
        what: str,
        nothing: Content,
        source: object,
    ) -> None:
        self.issuer = issuer
        self.content = nothing
        self.usable_until = float("-inf")
        self.failures = 0
        """Attempts in a row that failed."""
        self.last_failure = ""
        self.taken_over = False
        """It goes on from what another knew before it."""
        self._what = what
        self._source = source
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

    # -- its life

    def load(self) -> None:
        """Take up what an earlier run saved, as far as it is still good."""
        try:
            saved = self._saved.load(self._clock.wall())
        except (MalformedError, OSError) as wrong:
            _log.warning("saved %s of %s in %s are not used: %s", self._what, self.issuer, self._saved.path, wrong)
            return
        if saved is not None:
            self.content = saved.content
            self.usable_until = saved.fetched_at + self._max_stale

    def standing(self) -> Standing[Content]:
        """How it stands, for what takes its place."""
        # What is being fetched here comes to nobody's use there: that one may ask at once.
        next_attempt = self._next_attempt if self._running is None else float("-inf")
        fetched_at = self.usable_until - self._max_stale
        return Standing(
            self._source, self.content, fetched_at, self._refresh_at, next_attempt, self.failures, self.last_failure
        )

    def take_over(self, before: Standing[Content]) -> None:
        """Go on with the content and the schedule of one that asked the same source in the same way."""
        usable_until = before.fetched_at + self._max_stale
        if self._source is None or self._source != before.source or usable_until < self.usable_until:
            return
        self.taken_over = True
        self.content, self.usable_until = before.content, usable_until
        self._refresh_at, self._next_attempt = before.refresh_at, before.next_attempt
        self.failures, self.last_failure = before.failures, before.last_failure

    def start(self) -> None:
        """Begin the first fetch and keep it fresh from then on, without waiting."""
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

    @property
    def fetched_at(self) -> float | None:
        """When it was last fetched, in seconds since 1970; None when it never was."""
        return None if self.usable_until == float("-inf") else self.usable_until - self._max_stale

    # -- asking

    async def asked(self, monotonic: float) -> None:
        """Wait for the fetch under way; one is begun unless that was tried a moment ago. At most `FETCH_TIME`."""
        self._begin(monotonic)
        if self._running is not None:
            await end_of(self._running)

    async def ask_anew(self, patience: float | None) -> None:
        """Ask, unless that is being done, and wait for the answer: so many seconds, or None: to the fetch's own end."""
        task = self._running or self._launch(self._clock.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await end_of(task)

    async def refresh(self) -> bool:
        """Ask now, whatever was tried a moment ago, and wait for the answer; whether there was one.

        What is under way already may have been asked before whoever wants this knew why: it is not enough.
        """
        while self._running is not None:
            await end_of(self._running)
        await end_of(self._launch(self._clock.monotonic()))
        return not self.failures

    def _begin(self, monotonic: float | None = None) -> None:
        """Ask now, in a task of its own, unless that is being done or was tried a moment ago."""
        now = self._clock.monotonic() if monotonic is None else monotonic
        if self._running is None and now >= self._next_attempt:
            self._running = self._launch(now)

    def _begin_if_due(self, monotonic: float) -> None:
        """Ask in the background when it is time to."""
        if monotonic >= self._refresh_at:
            self._begin(monotonic)

    def _launch(self, now: float) -> asyncio.Task[None]:
        self._next_attempt = now + PAUSE
        self._running = task = asyncio.get_running_loop().create_task(self._ask())
        return task

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
        _log.warning("%s of %s could not be fetched (attempt %d): %s", self._what, self.issuer, self.failures, cause)

    def _succeeded(self, published: Published[Content]) -> None:
        """From here on exactly this counts: a key that is no longer among the keys is gone, with what it verified."""
        wall = self._clock.wall()
        self.content = published.content
        self.usable_until = wall + self._max_stale
        self.failures = 0
        fresh_for = USUAL if published.fresh_for is None else float(published.fresh_for)
        self._refresh_at = self._clock.monotonic() + min(max(fresh_for, SHORTEST), LONGEST)
        if self._saving is None:
            self._saving = asyncio.get_running_loop().create_task(self._save(wall))

    async def _save(self, fetched_at: float) -> None:
        """Nobody waits for the disk: it has a task of its own. What came meanwhile is saved after it."""
        try:
            while True:
                content = self.content
                await asyncio.to_thread(self._saved.save, Saved(content, fetched_at))
                if content is self.content or self.fetched_at is None:
                    return
                fetched_at = self.fetched_at
        except OSError as wrong:
            _log.warning("%s of %s could not be saved: %s", self._what, self.issuer, wrong)
        finally:
            self._saving = None

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(min(max(self._refresh_at - self._clock.monotonic(), 1.0), LONGEST_PAUSE))
            self._begin_if_due(self._clock.monotonic())
