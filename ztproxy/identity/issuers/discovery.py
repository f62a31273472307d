"""Fetching what an issuer publishes: its metadata (OpenID Connect Discovery 1.0 §4) and its keys (RFC 7517)."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from ztproxy.identity.issuers.fetching import Document, FetchError
from ztproxy.identity.issuers.kept import FETCH_TIME, RETRY_AFTER, Clock, Kept, Published
from ztproxy.identity.issuers.keys import KeySet, read_key_set
from ztproxy.identity.issuers.metadata import Metadata, read_metadata, write_metadata
from ztproxy.identity.issuers.saved import SavedDocument
from ztproxy.identity.strict_json import MalformedError
from ztproxy.model import Reason, Refusal


class Get(Protocol):
    """Fetches one document; raises `FetchError`."""

    async def get(self, url: str) -> Document: ...


class MetadataStore(Kept[Metadata | None]):
    """The metadata of one issuer over time; `ztproxy.identity.issuers.kept.Kept` says how it is kept."""

    def __init__(
        self,
        issuer: str,
        fetch: Callable[[], Awaitable[Published[Metadata | None]]],
        saved: SavedDocument[Metadata | None],
        max_stale: float,
        clock: Clock,
        *,
        source: object = None,
    ) -> None:
        super().__init__(issuer, fetch, saved, max_stale, clock, what="metadata", nothing=None, source=source)

    def current(self, wall: float) -> Metadata | None:
        """What is known, None when nothing good is; never waits. `wall`: seconds since 1970."""
        return self.content if wall < self.usable_until else None

    async def get(self, wall: float, monotonic: float) -> Metadata | Refusal:
        """What is known; waits only when nothing good is, and at most `FETCH_TIME`.

        Refuses with `ISSUER_UNAVAILABLE`.
        """
        self._begin_if_due(monotonic)
        if (known := self.current(wall)) is not None:
            return known
        await self.asked(monotonic)
        if (known := self.current(max(wall, self._clock.wall()))) is not None:
            return known
        return Refusal(Reason.ISSUER_UNAVAILABLE, cause=f"{self.issuer}: {self.last_failure}", fields=RETRY_AFTER)

    async def renewed(self) -> Metadata:
        """Fetched anew, or what is known when that fails or takes half of `FETCH_TIME`. Raises `FetchError`."""
        known = self.current(self._clock.wall())
        await self.ask_anew(None if known is None else FETCH_TIME / 2)
        known = self.current(self._clock.wall())
        if known is None:
            raise FetchError(self.last_failure)
        return known


def saved_keys(folder: Path, issuer: str, jwks_uri: str | None) -> SavedDocument[KeySet]:
    """Where the keys of an issuer outlive the process."""
    bound_to = {"issuer": issuer, "jwks_uri": jwks_uri or "discovery"}
    return SavedDocument(folder, bound_to, lambda keys: {"keys": [dict(key.jwk) for key in keys.keys]}, read_key_set)


def saved_metadata(folder: Path, issuer: str) -> SavedDocument[Metadata | None]:
    """Where the metadata of an issuer outlives the process."""
    return SavedDocument(folder, {"issuer": issuer}, write_metadata, lambda body: read_metadata(body, issuer))


async def fetch_metadata(fetcher: Get, issuer: str) -> Published[Metadata | None]:
    """The issuer's discovery document, which must be about this very issuer (§4.3).

    The caller bounds the time. Raises `FetchError`.
    """
    url = discovery_url(issuer)
    document = await fetcher.get(url)
    try:
        return Published(read_metadata(document.body, issuer), document.fresh_for)
    except MalformedError as wrong:
        raise FetchError(f"{url} is no discovery document of this issuer: {wrong}") from wrong


async def fetch_keys(fetcher: Get, place: Callable[[], Awaitable[str]]) -> Published[KeySet]:
    """The issuer's keys, from the `place` where they are now.

    The caller bounds the time. Raises `FetchError`, which names the document that was wrong.
    """
    url = await place()
    document = await fetcher.get(url)
    try:
        return Published(read_key_set(document.body), document.fresh_for)
    except MalformedError as wrong:
        raise FetchError(f"{url} is no key set: {wrong}") from wrong


async def place_of_keys(metadata: MetadataStore, jwks_uri: str | None) -> str:
    """Where an issuer's keys are: as configured, or as its metadata says now. Raises `FetchError`.

    Its metadata is asked for each time, for the keys may have moved; while that fails, they are where they were.
    """
    if jwks_uri is not None:
        return jwks_uri
    found = (await metadata.renewed()).jwks_uri
    if found is None:
        raise FetchError(f"{discovery_url(metadata.issuer)} names no `jwks_uri`")
    return found


def discovery_url(issuer: str) -> str:
    """Where the discovery document is (§4.1: a closing slash of the issuer is removed first)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"
