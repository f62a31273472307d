"""What is known about the certificates that one authority issued: from files, fetched lists and responders."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec
from cryptography import x509

from ztproxy.identity.answers import Answers, Case
from ztproxy.identity.crl import RevocationList, authority_id
from ztproxy.identity.first import First
from ztproxy.identity.list_files import ListFiles
from ztproxy.identity.pointers import permitted
from ztproxy.identity.published_list import PublishedList
from ztproxy.identity.standing import Finding, Link, Standing, by_answer, by_lists, joined

MAXIMUM_FOLLOWED = 256
"""URLs of lists that certificates and lists named."""
LOOK_EVERY = 30.0
"""Seconds between two looks at files."""
TURN = 10.0
"""Seconds between two looks at whether a list is to be fetched."""
_LATER = 1.0
"""Seconds after which it is looked again at what is being asked."""
_log = logging.getLogger("ztproxy.identity")

Changed = Callable[[bytes | None], None]
"""Told of the certificate (DER) about which something else is known now; None: any."""


class Look(msgspec.Struct, frozen=True):
    """What one authority's sources say about a certificate now."""

    finding: Finding
    again_at: float
    """When it is to be looked again, in seconds since 1970."""
    first: First | None
    """What ends when something is known for the first time; None: nothing is expected soon."""


class Following(msgspec.Struct, frozen=True):
    """Whom to ask."""

    lists: tuple[str, ...] = ()
    responders: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    """What a URL that a certificate or a list names must begin with."""


_NOBODY = Following()


class Authority:
    """One authority's sources. Make one with `listeners.revocation_of`.

    Args:
        name: its file, for the operator.
        certificates: its own; whatever they sign counts.
        files: its list files.
        following: whom to ask.
        publish: makes the list at a URL.
        answers: makes what asks responders; None where there is none.
    """

    def __init__(
        self,
        name: str,
        certificates: Sequence[x509.Certificate],
        files: ListFiles,
        *,
        following: Following = _NOBODY,
        publish: Callable[[str, Callable[[], None]], PublishedList] | None = None,
        answers: Callable[[Callable[[bytes], None]], Answers] | None = None,
    ) -> None:
        self.name = name
        self.ids = frozenset(map(authority_id, certificates))
        self.published: dict[str, PublishedList] = {}
        self.left_out = 0
        """URLs of lists that were named and not followed, because there were too many."""
        self.following = following
        self.lists: tuple[RevocationList, ...] = ()
        self._listening: list[Changed] = []
        self.answers: Answers | None = None if answers is None else answers(self._tell)
        self._publish = publish
        self._files = files
        self.from_files = files.read()
        self._tasks: list[asyncio.Task[None]] = []
        for url in following.lists:
            self._follow(url)
        self._gather()

    def listen(self, changed: Changed) -> None:
        """Tell of changes from here on."""
        self._listening.append(changed)

    # -- what is known

    @property
    def knows_nothing(self) -> bool:
        """Whether every certificate is unknown: lists alone would say, and none was ever had."""
        return not self.lists and self.answers is None

    def look(self, link: Link, now: float, grace: float) -> Look:
        """What is known about a certificate; sees to it that what is missing gets asked, without waiting.

        Args:
            link: one that this authority issued.
            now: seconds since 1970.
            grace: seconds that what is known counts past its end.
        """
        lists = [one for one in self.lists if one.authority == link.authority]
        urls = self._responders(link)
        findings = [by_lists(link, lists, now, grace)] if lists or not urls else []
        expected = [one.first for one in self._named(link)]
        again_at = float("inf")
        if self.answers is not None and urls:
            case = self.answers.about(link, urls, now)
            expected.append(self.answers.first(case))
            again_at = case.due_at if case.first is None and case.due_at > now else now + _LATER
            findings.append(_by_case(case, lists, now, grace))
        return Look(joined(findings), again_at, next((one for one in expected if one is not None), None))

    def _responders(self, link: Link) -> tuple[str, ...]:
        named = permitted(link.pointers.responders, self.following.prefixes)
        return tuple(dict.fromkeys((*self.following.responders, *named)))

    def _named(self, link: Link) -> list[PublishedList]:
        """The lists that a certificate names, begun to be fetched, and those that are configured."""
        for url in permitted(link.pointers.lists, self.following.prefixes):
            self._follow(url)
        mine = {*self.following.lists, *link.pointers.lists}
        return [one for url, one in self.published.items() if url in mine]

    def _follow(self, url: str) -> None:
        if url in self.published or self._publish is None:
            return
        if len(self.published) >= MAXIMUM_FOLLOWED:
            self.left_out += 1
            return
        self.published[url] = self._publish(url, self._gather)
        if self._tasks:
            self.published[url].ask()

    def _gather(self) -> None:
        """Rest everything on the lists as they are from here on; follow what they say of their deltas."""
        published = [one.known.one for one in self.published.values() if one.known is not None]
        self.lists = (*self.from_files, *published)
        for one in self.lists:
            for url in permitted(sorted(one.freshest), self.following.prefixes):
                self._follow(url)
        self._tell(None)

    def _tell(self, subject: bytes | None) -> None:
        for changed in self._listening:
            changed(subject)

    # -- keeping it current

    def start(self) -> None:
        """Begin to fetch, and to look at files now and then; does not wait for anybody."""
        create_task = asyncio.get_running_loop().create_task
        self._tasks = [create_task(self._keep_files()), create_task(self._keep_published())]
        for one in tuple(self.published.values()):
            one.ask()

    def take_over(self, before: "Authority") -> None:
        """Go on from what another one of the same certificates knows, as far as the same would be asked here."""
        for url in permitted(before.published, self.following.prefixes):
            self._follow(url)
        for url, one in before.published.items():
            if url in self.published:
                self.published[url].take_over(one)
        if self.answers is not None and before.answers is not None:
            self.answers.take_over(before.answers)

    async def close(self) -> None:
        """Stop fetching and looking."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in self.published.values():
            await one.close()
        if self.answers is not None:
            await self.answers.close()

    def look_at_files(self) -> None:
        """Take up what changed; keep the last good lists, and say so, when it cannot be used."""
        self._take(self._files.read_if_good())

    async def _keep_files(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._take(await asyncio.to_thread(self._files.read_if_good))

    async def _keep_published(self) -> None:
        while True:
            await asyncio.sleep(TURN)
            for one in tuple(self.published.values()):
                one.ask()

    def _take(self, lists: tuple[RevocationList, ...] | None) -> None:
        """On the event loop, so that no request is judged by the old lists and remembered under the new ones."""
        if lists is not None:
            self.from_files = lists
            self._gather()
            _log.info("revocation lists of %s were read again", self.name)


def _by_case(case: Case, lists: Sequence[RevocationList], now: float, grace: float) -> Finding:
    if case.answer is not None:
        return by_answer(case.answer, lists, now, grace)
    return Finding(Standing.UNKNOWN, cause=case.backoff.last_failure or "no OCSP responder has answered yet")
