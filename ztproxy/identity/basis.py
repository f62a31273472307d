"""What the word on who asks rests on: issuers, authorities, sessions, and how each is kept current."""

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Self

from ztproxy.config.settings import Settings
from ztproxy.config.spiffe_ids import SCHEME
from ztproxy.identity.demands import Demands, demands_of
from ztproxy.identity.exchange.building import exchangers_of
from ztproxy.identity.exchange.exchanger import Exchanger
from ztproxy.identity.issuers.configured import ConfiguredIssuer
from ztproxy.identity.issuers.discovery import MetadataStore
from ztproxy.identity.issuers.kept import Clock, Kept
from ztproxy.identity.issuers.key_store import KeyStore
from ztproxy.identity.issuers.refreshing import Refreshed
from ztproxy.identity.login.building import login_issuers
from ztproxy.identity.login.service import Logins
from ztproxy.identity.proofs.building import possession_of
from ztproxy.identity.proofs.possession import Possession
from ztproxy.identity.revocation.authority import Authority
from ztproxy.identity.revocation.known import summary as revocation_summary
from ztproxy.identity.revocation.listeners import Knowledge, knowledge_of
from ztproxy.identity.revocation.verdicts import Revocation
from ztproxy.identity.sessions import storing
from ztproxy.identity.sessions.service import Sessions
from ztproxy.identity.tokens.bearers import Bearers
from ztproxy.identity.tokens.bundle_keys import svid_issuers
from ztproxy.identity.tokens.introspection import Introspector
from ztproxy.identity.tokens.trusted import TrustedIssuer
from ztproxy.model import Meet
from ztproxy.spiffe.workload import Workload

SYSTEM_CLOCK = Clock(wall=time.time, monotonic=time.monotonic)


class Basis:
    """All that is known of those who may ask, and what keeps it current. Make one with `build`."""

    def __init__(
        self,
        demands: Mapping[str, Demands],
        knowledge: Knowledge,
        issuers: Mapping[str, ConfiguredIssuer],
        bearers: Bearers,
        clock: Clock,
        *,
        possession: Possession | None = None,
        sessions: Sessions | None = None,
        logins: Logins | None = None,
        exchangers: Mapping[str, Exchanger] | None = None,
    ) -> None:
        self._demands = demands
        self._knowledge = knowledge
        self._revocation = knowledge.listeners
        self._issuers = issuers
        self._stores = [one.keys for one in issuers.values() if one.verifies]
        self.metadata = {name: one.metadata for name, one in issuers.items()}
        """What each issuer says about itself, by its name."""
        self._bearers = bearers
        self._clock = clock
        self._possession = possession
        self.sessions = sessions
        """None where nobody logs in."""
        self._logins = logins
        self.exchangers: Mapping[str, Exchanger] = exchangers or {}
        """By route whose upstream gets a token of its own."""

    @classmethod
    def build(cls, settings: Settings, *, clock: Clock = SYSTEM_CLOCK, workload: Workload | None = None) -> Self:
        """Read all trust that the configuration names; nothing is fetched yet. Raises `IdentityConfigError`."""
        demands = demands_of(settings, workload)
        logging_in = {login.issuer for login in settings.login}
        configured = {
            issuer.issuer: ConfiguredIssuer(issuer, settings.state, clock, logs_in=issuer.issuer in logging_in)
            for issuer in settings.issuers
            if not issuer.issuer.startswith(SCHEME)
        }
        issuers = {name: one.trusted() for name, one in configured.items()} | svid_issuers(settings, workload)
        metadata = {name: one.metadata for name, one in configured.items()}
        sessions = storing.build(settings, clock)
        return cls(
            demands,
            knowledge_of(settings, clock),
            configured,
            Bearers(issuers),
            clock,
            possession=possession_of(settings, clock.wall),
            sessions=sessions,
            logins=None if sessions is None else _logins(settings, issuers, metadata, sessions, clock),
            exchangers=exchangers_of(settings, metadata, clock),
        )

    async def start(self) -> None:
        """Take up what was saved and begin to fetch; does not wait for any issuer."""
        for one in self._kept():
            if not one.taken_over:
                one.load()
        for issuer in self._issuers.values():
            issuer.start()
        self._knowledge.start()

    def take_over(self, previous: "Basis") -> None:
        """Go on with what is known of issuers that are the same, and with used proofs; tokens are judged anew."""
        if self._possession is not None and previous._possession is not None:  # noqa: SLF001 - one of its own kind
            self._possession.take_over(previous._possession, self._clock.wall())  # noqa: SLF001 - likewise
        known = previous._issuers  # noqa: SLF001 - likewise
        for name, issuer in self._issuers.items():
            if before := known.get(name):
                issuer.take_over(before)
        self._knowledge.take_over(previous._knowledge)  # noqa: SLF001 - likewise
        if self.sessions is not None and previous.sessions is not None:
            self.sessions.take_over(previous.sessions)

    async def close(self) -> None:
        """Stop fetching and looking at files."""
        await self._knowledge.close()
        for issuer in self._issuers.values():
            await issuer.close()
        for exchanger in self.exchangers.values():
            await exchanger.close()
        if self._possession is not None:
            await self._possession.replays.close()
        if self.sessions is not None:
            await self.sessions.close()

    async def refresh(self, issuer: str | None = None) -> Sequence[Refreshed]:
        """Ask every issuer now, or one by its name, and wait for the answers: at the operator's word.

        A key that an issuer does not hold any more is gone with the tokens that it verified.
        """
        asked = [one for name, one in self._issuers.items() if issuer in (None, name)]
        found = await asyncio.gather(*(one.refresh() for one in asked))
        for one in found:
            self._bearers.forget_said(one.issuer)
        return found

    def follow(self, serving: "Basis") -> None:
        """Go by what is known of issuers where requests are served now; for one that ends what it began."""
        for name, issuer in self._issuers.items():
            if newer := serving._issuers.get(name):  # noqa: SLF001 - one of its own kind
                issuer.take_over(newer)

    def summary(self) -> Iterator[str]:
        """What is trusted and how current it is, for the start-up summary."""
        now = self._clock.wall()
        yield from revocation_summary(self._knowledge.authorities.values(), now)
        for store in self._stores:
            yield store.summary(now)

    def _kept(self) -> Iterator[Kept[Any]]:
        """All that is kept of issuers."""
        for issuer in self._issuers.values():
            yield from issuer.kept

    @property
    def introspectors(self) -> Sequence[Introspector]:
        """The issuers that are asked about tokens."""
        return [one.introspection for one in self._issuers.values() if one.introspection is not None]

    @property
    def stores(self) -> Sequence[KeyStore]:
        """The keys of each issuer."""
        return self._stores

    @property
    def revocation(self) -> Mapping[str, Revocation]:
        """By listener that knows anything about revoked certificates."""
        return self._revocation

    @property
    def possession(self) -> Possession | None:
        """How proofs are judged, where they are understood."""
        return self._possession

    @property
    def authorities(self) -> Collection[Authority]:
        """Whose revoked certificates are known."""
        return self._knowledge.authorities.values()

    def unready(self) -> Iterator[str]:
        """Issuers whose tokens cannot be verified because no keys of theirs are known, and the like of authorities."""
        now = self._clock.wall()
        for store in self._stores:
            if now >= store.usable_until:
                yield f"issuer {store.issuer}: no usable keys" + (f" ({store.last_failure})" if store.failures else "")
        for revocation in self._revocation.values():
            yield from revocation.unready()

    @property
    def reserved(self) -> Mapping[str, Meet]:
        """The reserved paths that belong to this stage."""
        return {} if self._logins is None else self._logins.reserved


def _logins(
    settings: Settings,
    issuers: Mapping[str, TrustedIssuer],
    metadata: Mapping[str, MetadataStore],
    sessions: Sessions,
    clock: Clock,
) -> Logins:
    return Logins.build(settings, login_issuers(settings, issuers, metadata, clock), sessions, clock)
