"""What OCSP responders said about certificates: asked in the background, so many at a time, kept until it ends.

A request begins a question and is judged by what is known. Only the first one of a certificate that nothing is known
of waits for the answer, for a bounded time, and not while the responders are failing.
"""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from ztproxy.identity.backoff import Backoff
from ztproxy.identity.crl import authority_id
from ztproxy.identity.downloads import DownloadError, Downloads
from ztproxy.identity.first import First
from ztproxy.identity.kept import Clock
from ztproxy.identity.ocsp import NONCE_LENGTH, SKEW, Answer, UnusableAnswerError, question, read_answer
from ztproxy.identity.saved_documents import SavedDocument, SavedDocuments, UnusableFileError
from ztproxy.identity.standing import Link

MAXIMUM_ANSWER = 64 * 1024
"""Octets."""
ANSWER_TIME = 5.0
"""Seconds for one responder's answer in all."""
MAXIMUM_KNOWN = 8192
"""Certificates whose answers are kept, those asked about last."""
AT_ONCE = 16
"""Questions under way."""
MAXIMUM_WAITING = 1024
"""Questions that wait for their turn; what is more is not asked, and asked about again by a later request."""
PAUSE, LONGEST_PAUSE = 10.0, 300.0
"""Seconds between two questions about one certificate while there is no answer: at first, and at most."""
SHORTEST = 30.0
"""Seconds between two answers about one certificate."""
_MEDIA_TYPE = "application/ocsp-request"
_log = logging.getLogger("ztproxy.identity")


class Asking(msgspec.Struct, frozen=True):
    """How responders are asked."""

    nonce: bool
    nonce_required: bool
    refresh: float
    """Seconds."""


class Case:
    """One certificate, and what is known of it."""

    def __init__(self, link: Link, urls: tuple[str, ...]) -> None:
        self.link = link
        self.urls = urls
        self.answer: Answer | None = None
        self.due_at = float("-inf")
        """Seconds since 1970: from then on it is asked about again."""
        self.backoff = Backoff(PAUSE, LONGEST_PAUSE)
        self.first: First | None = None
        """The question that is under way, or waits for its turn."""


class Answers:
    """The answers about one authority's certificates.

    Args:
        downloads: asks the responders.
        saved: where answers are kept.
        asking: how responders are asked.
        clock: the time.
        changed: told of the certificate about which something else is known now.
    """

    def __init__(
        self,
        downloads: Downloads,
        saved: SavedDocuments,
        asking: Asking,
        clock: Clock,
        changed: Callable[[bytes], None],
    ) -> None:
        self.backoff = Backoff(PAUSE, LONGEST_PAUSE)
        """Of the responders: whether they answer at all."""
        self.answered = self.failed = self.left_out = 0
        """Questions answered, not answered, and not asked because too many waited."""
        self.answered_at: float | None = None
        """When a responder answered last, in seconds since 1970."""
        self._downloads = downloads
        self._saved = saved
        self._asking = asking
        self._clock = clock
        self._changed = changed
        self._cases: OrderedDict[bytes, Case] = OrderedDict()
        self._waiting: OrderedDict[bytes, Case] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()

    def known(self) -> Iterator[Answer]:
        """The answers that are kept."""
        return (case.answer for case in self._cases.values() if case.answer is not None)

    def about(self, link: Link, urls: tuple[str, ...], now: float) -> Case:
        """What is known of a certificate; asks about it where it is time to. `now` in seconds since 1970."""
        subject = link.subject.public_bytes(Encoding.DER)
        case = self._cases.get(subject)
        if case is None:
            case = self._cases[subject] = Case(link, urls)
            if len(self._cases) > MAXIMUM_KNOWN:
                self._cases.popitem(last=False)
        else:
            case.urls = urls
            self._cases.move_to_end(subject)
        due = now >= case.due_at or (case.answer is not None and now < case.answer.this_update - SKEW)
        if due and case.first is None and urls and case.backoff.over(self._clock.monotonic()):
            self._enqueue(subject, case)
        return case

    def first(self, case: Case) -> First | None:
        """What ends when there is a first answer, as long as there is none and the responders seem to be well."""
        if case.answer is not None or case.backoff.failures or self.backoff.failures:
            return None
        return case.first

    def take_over(self, before: "Answers") -> None:
        """Go on with what is known of the same authority's certificates."""
        for subject, case in before._cases.items():  # noqa: SLF001 - one of its own kind
            own = self._cases.get(subject)
            if case.answer is None or (own is not None and own.answer is not None):
                continue
            own = own or self._cases.setdefault(subject, Case(case.link, case.urls))
            own.answer, own.due_at = case.answer, case.due_at
            self._changed(subject)

    async def close(self) -> None:
        """Stop asking."""
        self._waiting.clear()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    # -- asking

    def _enqueue(self, subject: bytes, case: Case) -> None:
        if len(self._waiting) >= MAXIMUM_WAITING:
            self.left_out += 1
            return
        case.first = First(asyncio.get_running_loop().create_future(), self._clock.monotonic())
        self._waiting[subject] = case
        self._begin()

    def _begin(self) -> None:
        """Ask as many at once as may be: one while the responders fail, to see whether they are back."""
        most = 1 if self.backoff.failures else AT_ONCE
        while self._waiting and len(self._running) < most:
            subject, case = self._waiting.popitem(last=False)
            task = asyncio.get_running_loop().create_task(self._settle(subject, case))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            self._begin()

    async def _settle(self, subject: bytes, case: Case) -> None:
        try:
            path = self._saved.path([b"answer", *authority_id(case.link.issuer), subject])
            if not self._asking.nonce_required:
                await self._load(path, subject, case)
            if self._clock.wall() >= case.due_at:
                await self._ask(path, subject, case)
        finally:
            first, case.first = case.first, None
            if first is not None and not first.ended.done():
                first.ended.set_result(None)

    async def _load(self, path: Path, subject: bytes, case: Case) -> None:
        """Take up what this or another process has saved, if it is still good."""
        link = case.link
        try:
            saved = await asyncio.to_thread(self._saved.load, path, MAXIMUM_ANSWER)
            if saved is not None:
                now = self._clock.wall()
                answer = read_answer(saved.body, link.subject, link.issuer, now)
                self._take(subject, case, answer, min(saved.fetched_at, now))
        except (UnusableFileError, UnusableAnswerError, OSError) as wrong:
            _log.info("a saved OCSP answer in %s is not used: %s", path, wrong)

    async def _ask(self, path: Path, subject: bytes, case: Case) -> None:
        causes: list[str] = []
        later = True
        for url in case.urls:
            try:
                async with asyncio.timeout(ANSWER_TIME):
                    body, answer = await self._ask_at(url, case)
            except TimeoutError:
                causes.append(f"{url}: no answer within {ANSWER_TIME:g} s")
            except DownloadError as wrong:
                causes.append(str(wrong))
            except UnusableAnswerError as wrong:
                causes.append(f"{url}: {wrong}")
                later = later and wrong.later
            else:
                await self._answered(path, subject, case, answer, body)
                return
        self._missed(case, "; ".join(causes), all_away=later)

    async def _ask_at(self, url: str, case: Case) -> tuple[bytes, Answer]:
        link, asking = case.link, self._asking
        nonce = os.urandom(NONCE_LENGTH) if asking.nonce else None
        asked = question(link.subject, link.issuer, nonce)
        body = await self._downloads.post(url, asked, _MEDIA_TYPE, MAXIMUM_ANSWER)
        answer = read_answer(
            body,
            link.subject,
            link.issuer,
            self._clock.wall(),
            nonce=nonce,
            nonce_required=asking.nonce_required,
        )
        if case.answer is not None and answer.this_update < case.answer.this_update:
            raise UnusableAnswerError("it is older than the answer known")
        return body, answer

    async def _answered(self, path: Path, subject: bytes, case: Case, answer: Answer, body: bytes) -> None:
        now = self._clock.wall()
        self.answered += 1
        self.answered_at = now
        self.backoff.succeeded()
        case.backoff.succeeded()
        self._take(subject, case, answer, now)
        try:
            await asyncio.to_thread(self._saved.save, path, SavedDocument(body, now))
        except OSError as wrong:
            _log.warning("an OCSP answer could not be saved: %s", wrong)

    def _take(self, subject: bytes, case: Case, answer: Answer, fetched_at: float) -> None:
        """On the event loop, so that no request is judged by the old answer and remembered under the new one."""
        if case.answer is not None and answer.this_update < case.answer.this_update:
            return
        case.answer = answer
        half_of_the_rest = (answer.next_update - fetched_at) / 2
        case.due_at = fetched_at + min(self._asking.refresh, max(half_of_the_rest, SHORTEST))
        self._changed(subject)

    def _missed(self, case: Case, cause: str, *, all_away: bool) -> None:
        """No responder gave an answer that counts."""
        now = self._clock.monotonic()
        self.failed += 1
        case.backoff.failed(now, cause)
        if all_away:
            self.backoff.failed(now, cause)
        serial = case.link.subject.serial_number
        _log.warning("no OCSP answer about serial number %x (attempt %d): %s", serial, case.backoff.failures, cause)
