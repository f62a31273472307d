"""A revocation list that is published at a URL: fetched in the background, before the one known ends, never on a path.

Of two lists the newer one counts, whoever hands us the older one; when none can be had, the last good one stays.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from cryptography import x509

from ztproxy.identity.backoff import Backoff
from ztproxy.identity.crl import RevocationList, UnusableListError, authority_id, lists_in
from ztproxy.identity.downloads import DownloadError, Downloads
from ztproxy.identity.first import First, begin, end
from ztproxy.identity.kept import Clock
from ztproxy.identity.ocsp import SKEW
from ztproxy.identity.saved_documents import SavedDocument, SavedDocuments, UnusableFileError

MAXIMUM_LIST = 32 * 1024 * 1024
"""Octets."""
FETCH_TIME = 60.0
"""Seconds for a fetch in all."""
SHORTEST = 30.0
"""Seconds between two fetches, however soon the list ends."""
PAUSE, LONGEST_PAUSE = 10.0, 300.0
"""Seconds between two attempts while it cannot be had: at first, and at most."""
_log = logging.getLogger("ztproxy.identity")


class Published(msgspec.Struct, frozen=True):
    """A list as it was last had, its ETag, and when that was, in seconds since 1970."""

    one: RevocationList
    tag: str | None
    fetched_at: float


class PublishedList:
    """One URL of one authority's lists.

    Args:
        url: where it is.
        authorities: who may have signed it.
        downloads: fetches it.
        saved: where the last one is kept.
        refresh: seconds after which it is asked for again at the latest.
        clock: the time.
        changed: told when it has become another one.
    """

    def __init__(
        self,
        url: str,
        *,
        authorities: Sequence[x509.Certificate],
        downloads: Downloads,
        saved: SavedDocuments,
        refresh: float,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self.url = url
        self.known: Published | None = None
        self.first: First | None = None
        """Ends when it is had for the first time, or cannot be; None also while it fails: nobody is to wait then."""
        self.backoff = Backoff(PAUSE, LONGEST_PAUSE)
        self._authorities = authorities
        self._downloads = downloads
        self._saved = saved
        self._path = saved.path([b"list", url.encode(), *(part for one in authorities for part in authority_id(one))])
        self._refresh = refresh
        self._clock = clock
        self._changed = changed
        self._running: asyncio.Task[None] | None = None

    def due_at(self) -> float:
        """When it is to be asked for again, in seconds since 1970."""
        if self.known is None:
            return float("-inf")
        fetched_at = self.known.fetched_at
        half_of_the_rest = (self.known.one.next_update - fetched_at) / 2
        return fetched_at + min(self._refresh, max(half_of_the_rest, SHORTEST))

    def is_due(self, now: float) -> bool:
        """Whether it is to be asked for; also when it was had at a time that lies ahead, because a clock was wrong."""
        return now >= self.due_at() or (self.known is not None and now < self.known.fetched_at - SKEW)

    def ask(self) -> None:
        """Ask now if it is time to, in a task of its own."""
        monotonic = self._clock.monotonic()
        if self._running is not None or not self.backoff.over(monotonic):
            return
        if self.is_due(self._clock.wall()):
            if self.known is None and not self.backoff.failures:
                self.first = begin(monotonic)
            self._running = asyncio.get_running_loop().create_task(self._ask())

    def take_over(self, before: "PublishedList") -> None:
        """Go on from what another one of the same URL and authorities knows."""
        if before.known is not None and (self.known is None or _newer(before.known.one, self.known.one)):
            self.known = before.known
            self.backoff = before.backoff.copy()
            self._changed()

    async def close(self) -> None:
        """Stop asking."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _ask(self) -> None:
        try:
            await self._load()
            if self.is_due(self._clock.wall()):
                async with asyncio.timeout(FETCH_TIME):
                    await self._fetch()
        except TimeoutError:
            self._failed(f"{self.url}: no answer within {FETCH_TIME:g} s")
        except DownloadError as wrong:
            self._failed(str(wrong))
        except UnusableListError as wrong:
            self._failed(f"{self.url}: {wrong}")
        finally:
            self._running = None
            self._end_first()

    def _end_first(self) -> None:
        first, self.first = self.first, None
        if first is not None:
            end(first)

    async def _load(self) -> None:
        """Take up what this or another process has saved, if it is newer than what is known."""
        try:
            saved = await asyncio.to_thread(self._saved.load, self._path, MAXIMUM_LIST)
            if saved is None or (self.known is not None and saved.fetched_at <= self.known.fetched_at):
                return
            one = await self._read(saved.body)
        except (UnusableFileError, UnusableListError, OSError) as wrong:
            _log.warning("the saved list of %s in %s is not used: %s", self.url, self._path, wrong)
            return
        if self.known is None or not _newer(self.known.one, one):
            self._take(Published(one, None, min(saved.fetched_at, self._clock.wall())))

    async def _fetch(self) -> None:
        known = self.known
        got = await self._downloads.get(self.url, MAXIMUM_LIST, None if known is None else known.tag)
        now = self._clock.wall()
        if got.body is None:
            if known is None:
                raise DownloadError(f"{self.url} says that nothing has changed, but nothing is known yet")
            one = known.one
            keep = partial(self._saved.renew, self._path, now)
        else:
            one = await self._read(got.body)
            if one.this_update > now + SKEW:
                raise UnusableListError("the list is from the future; compare the clocks")
            if known is not None and _newer(known.one, one):
                raise UnusableListError("the list is older than the one known")
            keep = partial(self._saved.save, self._path, SavedDocument(got.body, now))
        over = one.next_update <= now
        self._take(Published(one, None if over else got.tag, now))  # another list is wanted, whatever its tag
        if over:
            self._failed(f"{self.url}: the list is out of date")
        else:
            self.backoff.succeeded()
        try:
            await asyncio.to_thread(keep)
        except OSError as wrong:
            _log.warning("the list of %s could not be saved: %s", self.url, wrong)

    async def _read(self, body: bytes) -> RevocationList:
        """Large lists take their time: not on the event loop."""
        found = await asyncio.to_thread(lists_in, body, self._authorities, self.url)
        if len(found) != 1:
            raise UnusableListError("it holds more than one list")
        return found[0]

    def _take(self, published: Published) -> None:
        """On the event loop, so that no request is judged by the old list and remembered under the new one."""
        before, self.known = self.known, published
        if before is None or before.one != published.one:
            one = published.one
            _log.info("list %s of %s from %s: %d revoked", one.number, one.name, self.url, len(one.revoked))
            self._changed()
        self._end_first()

    def _failed(self, cause: str) -> None:
        self.backoff.failed(self._clock.monotonic(), cause)
        _log.warning("a revocation list could not be fetched (attempt %d): %s", self.backoff.failures, cause)


def _newer(one: RevocationList, other: RevocationList) -> bool:
    """Whether one was made after another. Not by number first: an authority that was set up anew counts anew."""
    return (one.this_update, one.number or 0) > (other.this_update, other.number or 0)
