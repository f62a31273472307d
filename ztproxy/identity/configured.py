"""An issuer as configured: what is asked of it, and what the verdict on its tokens rests on."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

from ztproxy.config.settings import Issuer
from ztproxy.identity.authorities import trust_in
from ztproxy.identity.claims import Expected
from ztproxy.identity.client_authentication import ClientAuthentication
from ztproxy.identity.discovery import (
    MetadataStore,
    fetch_keys,
    fetch_metadata,
    place_of_keys,
    saved_keys,
    saved_metadata,
)
from ztproxy.identity.fetching import Fetcher
from ztproxy.identity.groups import GroupMapping
from ztproxy.identity.introspection import Introspector
from ztproxy.identity.issuers import KeyStore
from ztproxy.identity.kept import Clock, Kept
from ztproxy.identity.refreshing import Refreshed, names_of
from ztproxy.identity.trusted import TrustedIssuer


class ConfiguredIssuer:
    """One issuer. Nothing is fetched before `start`.

    Args:
        issuer: as configured.
        state: the folder of what outlives the process.
        clock: what time it is.
        logs_in: people log in there, by what its metadata says.

    Raises:
        IdentityConfigError: trust or a secret of its section cannot be read.
    """

    def __init__(self, issuer: Issuer, state: Path, clock: Clock, *, logs_in: bool = False) -> None:
        name, trust = issuer.issuer, issuer.authorities
        self._issuer = issuer
        self._key = f"issuers[{name}]"
        self._logs_in = logs_in
        access_only = issuer.token_type == "access"  # noqa: S105 - no password
        groups = None if issuer.groups is None else GroupMapping(name, issuer.groups)
        self._expected = Expected(frozenset(issuer.audiences), issuer.leeway, groups, access_only)
        fetcher = Fetcher(trust_in(trust, f"{self._key}.authorities"))
        self.metadata = MetadataStore(
            name,
            partial(fetch_metadata, fetcher, name),
            saved_metadata(state / "metadata", name),
            issuer.max_stale,
            clock,
            source=(name, trust),
        )
        self.keys = KeyStore(
            name,
            partial(fetch_keys, fetcher, partial(place_of_keys, self.metadata, issuer.jwks_uri)),
            saved_keys(state / "keys", name, issuer.jwks_uri),
            issuer.max_stale,
            clock,
            source=(name, issuer.jwks_uri, trust),
        )
        self.introspection = self._introspector(clock)

    def _introspector(self, clock: Clock) -> Introspector | None:
        settings, key = self._issuer.introspection, f"{self._key}.introspection"
        if settings is None:
            return None
        client = ClientAuthentication.build(settings, self._issuer.issuer, key)
        trust = trust_in(self._issuer.authorities, f"{key}.client_certificate", client.certificate)
        return Introspector(
            self._issuer.issuer,
            settings,
            client,
            Fetcher(trust, kept_open=settings.maximum_in_flight),
            metadata=self.metadata,
            expected=self._expected,
            clock=clock,
        )

    @property
    def _needs_metadata(self) -> bool:
        """Whether it is to be kept fresh for its own sake: not where each fetch of the keys asks for it first."""
        settings = self._issuer.introspection
        followed = self.verifies and self._issuer.jwks_uri is None
        return not followed and (self._logs_in or (settings is not None and settings.endpoint is None))

    @property
    def verifies(self) -> bool:
        """Whether its keys are asked for."""
        settings = self._issuer.introspection
        return settings is None or settings.verify_signatures

    @property
    def kept(self) -> Iterator[Kept[Any]]:
        """What is kept of it."""
        if self.verifies:
            yield self.keys
        yield self.metadata

    def trusted(self) -> TrustedIssuer:
        """What the verdict on its tokens rests on."""
        return TrustedIssuer(frozenset(self._issuer.algorithms), self._expected, self.keys, self.introspection)

    def start(self) -> None:
        """Begin to fetch; waits for nothing.

        The metadata goes along with the keys that it tells the place of. Where the keys are elsewhere, it is kept fresh
        only if somebody needs it.
        """
        if self.verifies:
            self.keys.start()
        if self._needs_metadata:
            self.metadata.start()

    async def refresh(self) -> Refreshed:
        """Ask it now, whatever was tried a moment ago; what it said of opaque tokens counts no more."""
        before = names_of(self.keys.keys.keys)
        failures: list[str] = []
        if self.verifies and not await self.keys.refresh():
            failures.append(f"keys: {self.keys.last_failure}")
        if self._needs_metadata and not await self.metadata.refresh():
            failures.append(f"metadata: {self.metadata.last_failure}")
        if self.introspection is not None:
            self.introspection.forget()
        return Refreshed(self._issuer.issuer, before, names_of(self.keys.keys.keys), tuple(failures))

    def take_over(self, before: Self) -> None:
        """Go on from what one before it knows."""
        self.keys.take_over(before.keys.standing())
        self.metadata.take_over(before.metadata.standing())
        if self.introspection is not None and before.introspection is not None:
            self.introspection.outcomes = before.introspection.outcomes  # what is counted never goes back

    async def close(self) -> None:
        """Ask no more."""
        for one in (self.keys, self.metadata):
            await one.close()
        if self.introspection is not None:
            await self.introspection.close()
