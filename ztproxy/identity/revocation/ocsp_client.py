"""Asking a responder about one certificate, and keeping its answers on disk."""

import asyncio
import logging
import os
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from ztproxy.identity.issuers.kept import Clock
from ztproxy.identity.revocation.crl import authority_id
from ztproxy.identity.revocation.downloads import DownloadError, Downloads
from ztproxy.identity.revocation.ocsp import NONCE_LENGTH, Answer, UnusableAnswerError, question, read_answer
from ztproxy.identity.revocation.saved_documents import SavedDocument, SavedDocuments, UnusableFileError
from ztproxy.identity.revocation.standing import Link

MAXIMUM_ANSWER = 64 * 1024
"""Octets."""
ANSWER_TIME = 5.0
"""Seconds for one responder's answer in all."""
_MEDIA_TYPE = "application/ocsp-request"
_log = logging.getLogger("ztproxy.identity")


class Had(msgspec.Struct, frozen=True):
    """An answer, and when it was had, in seconds since 1970."""

    answer: Answer
    at: float


class NoAnswerError(Exception):
    """None of the responders gave an answer that counts; the message says why of each.

    `away`: none of them answers anything just now.
    """

    def __init__(self, causes: list[str], *, away: bool) -> None:
        super().__init__("; ".join(causes))
        self.away = away


class OcspClient:
    """Asks one authority's responders.

    Args:
        downloads: reaches them.
        saved: where answers are kept.
        nonce: `send`, `require` or `omit`.
        clock: the time.
    """

    def __init__(self, downloads: Downloads, saved: SavedDocuments, nonce: str, clock: Clock) -> None:
        self._downloads = downloads
        self._saved = saved
        self.nonce = nonce
        self._clock = clock

    async def load(self, link: Link) -> Had | None:
        """What this or another process has saved and is still in date; not where it could be an old one."""
        if self.nonce == "require":
            return None
        path = self._path(link)
        try:
            saved = await asyncio.to_thread(self._saved.load, path, MAXIMUM_ANSWER)
            if saved is None:
                return None
            now = self._clock.wall()
            return Had(read_answer(saved.body, link.subject, link.issuer, now), min(saved.fetched_at, now))
        except (UnusableFileError, UnusableAnswerError, OSError) as wrong:
            _log.info("a saved OCSP answer in %s is not used: %s", path, wrong)
            return None

    async def ask(self, link: Link, urls: tuple[str, ...], known: Answer | None) -> tuple[Had, bytes]:
        """The first answer that counts, none older than the one known, and its octets. Raises `NoAnswerError`."""
        causes: list[str] = []
        away = True
        for url in urls:
            try:
                async with asyncio.timeout(ANSWER_TIME):
                    return await self._ask_at(url, link, known)
            except TimeoutError:
                causes.append(f"{url}: no answer within {ANSWER_TIME:g} s")
            except DownloadError as wrong:
                causes.append(str(wrong))
            except UnusableAnswerError as wrong:
                causes.append(f"{url}: {wrong}")
                away = away and wrong.later
        raise NoAnswerError(causes, away=away)

    async def save(self, link: Link, had: Had, body: bytes) -> None:
        """Keep an answer; that it cannot be kept is told."""
        try:
            await asyncio.to_thread(self._saved.save, self._path(link), SavedDocument(body, had.at))
        except OSError as wrong:
            _log.warning("an OCSP answer could not be saved: %s", wrong)

    async def _ask_at(self, url: str, link: Link, known: Answer | None) -> tuple[Had, bytes]:
        nonce = None if self.nonce == "omit" else os.urandom(NONCE_LENGTH)
        asked = question(link.subject, link.issuer, nonce)
        body = await self._downloads.post(url, asked, _MEDIA_TYPE, MAXIMUM_ANSWER)
        now, required = self._clock.wall(), self.nonce == "require"
        answer = read_answer(body, link.subject, link.issuer, now, nonce=nonce, nonce_required=required)
        if known is not None and answer.this_update < known.this_update:
            raise UnusableAnswerError("it is older than the answer known")
        return Had(answer, now), body

    def _path(self, link: Link) -> Path:
        return self._saved.path([b"answer", *authority_id(link.issuer), link.subject.public_bytes(Encoding.DER)])
