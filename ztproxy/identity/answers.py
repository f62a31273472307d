"""What OCSP responders said about certificates: asked in the background, so many at a time, kept until it ends.

A request begins a question and is judged by what is known. Only the first one of a certificate that nothing is known
of waits for the answer, for a bounded time, and not while the responders are failing.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.serialization import Encoding

from ztproxy.identity.backoff import Backoff
from ztproxy.identity.first import First, begin, end
from ztproxy.identity.kept import Clock
from ztproxy.identity.ocsp import SKEW, Answer
from ztproxy.identity.ocsp_client import Had, NoAnswerError, OcspClient
from ztproxy.identity.standing import Link

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
SOON = 1.0
"""Seconds until a question is tried again that another one keeps from being asked."""
_log = logging.getLogger("ztproxy.identity")


class Case:
    """One certificate, and what is known of it."""

    def __init__(self, link: Link, urls: tuple[str, ...]) -> None:
        self.link = link
        self.urls = urls
        self.answer: Answer | None = None
        self.had_at = self.due_at = float("-inf")
        """Seconds since 1970: when the answer was had, and from when on it is asked about again."""
        self.backoff = Backoff(PAUSE, LONGEST_PAUSE)
        self.first: First | None = None
        """The question that is under way, or waits for its turn."""
        self.looked_up = False
        """Whether it is known what this or another process has saved of it."""

    def is_due(self, now: float) -> bool:
        """Whether it is to be asked about; also when the answer is of a time that lies ahead: a clock was wrong."""
        return now >= self.due_at or now < self.had_at - SKEW

    def end(self) -> None:
        """Whoever waits for the question need not any more."""
        first, self.first = self.first, None
        if first is not None:
            end(first)


class Answers:
    """The answers about one authority's certificates.

    Args:
        client: asks the responders.
        refresh: seconds after which they are asked again at the latest.
        clock: the time.
        changed: told of the certificate about which something else is known now.
    """

    def __init__(self, client: OcspClient, refresh: float, clock: Clock, changed: Callable[[bytes], None]) -> None:
        self.backoff = Backoff(PAUSE, LONGEST_PAUSE)
        """Of the responders: whether they answer at all."""
        self.answered = self.failed = self.left_out = 0
        """Questions answered, not answered, and not asked because too many waited."""
        self.answered_at: float | None = None
        """When a responder answered last, in seconds since 1970."""
        self._client = client
        self._refresh = refresh
        self._clock = clock
        self._changed = changed
        self._cases: OrderedDict[bytes, Case] = OrderedDict()
        self._waiting: OrderedDict[bytes, Case] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()
        self._probing = False
        """A question is under way that finds out whether the responders are back."""

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
        if case.is_due(now) and case.first is None and urls and case.backoff.over(self._clock.monotonic()):
            self._enqueue(subject, case)
        return case

    def first(self, case: Case) -> First | None:
        """What ends when there is a first answer, as long as there is none.

        None, unless one may come soon: from disk, or from responders that seem to be well.
        """
        if case.answer is not None or case.backoff.failures or (case.looked_up and self.backoff.failures):
            return None
        return case.first

    def take_over(self, before: "Answers") -> None:
        """Go on with what is known of the same authority's certificates, unless a nonce has come to be required."""
        if self._client.nonce == "require" != before._client.nonce:  # noqa: SLF001 - one of its own kind
            return
        for subject, case in before._cases.items():  # noqa: SLF001 - likewise
            own = self._cases.get(subject)
            if case.answer is None or (own is not None and own.answer is not None):
                continue
            own = own or self._cases.setdefault(subject, Case(case.link, case.urls))
            own.answer, own.had_at, own.due_at = case.answer, case.had_at, case.due_at
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
        case.first = begin(self._clock.monotonic())
        self._waiting[subject] = case
        self._begin()

    def _begin(self) -> None:
        while self._waiting and len(self._running) < AT_ONCE:
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
            if not case.looked_up and (saved := await self._client.load(case.link)) is not None:
                self._take(subject, case, saved)
            case.looked_up = True
            if case.is_due(self._clock.wall()):
                await self._ask(subject, case)
        finally:
            case.end()

    async def _ask(self, subject: bytes, case: Case) -> None:
        """Ask, unless responders fail: then one question at a time finds out whether they are back."""
        now, probing = self._clock.monotonic(), self.backoff.failures > 0
        if probing and (self._probing or not self.backoff.over(now)):
            case.backoff.next_attempt = max(self.backoff.next_attempt, now + SOON)
            case.backoff.last_failure = self.backoff.last_failure
            return
        self._probing = probing
        try:
            had, body = await self._client.ask(case.link, case.urls, case.answer)
        except NoAnswerError as wrong:
            self._missed(case, wrong)
            return
        finally:
            self._probing = self._probing and not probing
        self.answered += 1
        self.answered_at = had.at
        self.backoff.succeeded()
        case.backoff.succeeded()
        self._take(subject, case, had)
        await self._client.save(case.link, had, body)

    def _take(self, subject: bytes, case: Case, had: Had) -> None:
        """On the event loop, so that no request is judged by the old answer and remembered under the new one."""
        if case.answer is not None and had.answer.this_update < case.answer.this_update:
            return
        case.answer = had.answer
        half_of_the_rest = (had.answer.next_update - had.at) / 2
        case.had_at = had.at
        case.due_at = had.at + min(self._refresh, max(half_of_the_rest, SHORTEST))
        self._changed(subject)
        case.end()

    def _missed(self, case: Case, wrong: NoAnswerError) -> None:
        """No responder gave an answer that counts."""
        now, cause = self._clock.monotonic(), str(wrong)
        self.failed += 1
        case.backoff.failed(now, cause)
        if wrong.away:
            self.backoff.failed(now, cause)
        serial = case.link.subject.serial_number
        _log.warning("no OCSP answer about serial number %x (attempt %d): %s", serial, case.backoff.failures, cause)
