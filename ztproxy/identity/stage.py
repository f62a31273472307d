"""Who asks: the stage that turns a `Routed` into an `Identified`, or says why not."""

import asyncio
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Self

from ztproxy.config.settings import Issuer, Settings
from ztproxy.identity.authorities import trust_in
from ztproxy.identity.bearers import Bearers
from ztproxy.identity.challenge import challenged
from ztproxy.identity.claims import Expected
from ztproxy.identity.demands import Demands, demands_of
from ztproxy.identity.discovery import fetch_keys
from ztproxy.identity.fetching import Fetcher
from ztproxy.identity.fitness import fit
from ztproxy.identity.groups import GroupMapping
from ztproxy.identity.issuers import Clock, KeyStore
from ztproxy.identity.listeners import ListenerRevocation, revocation_of
from ztproxy.identity.revocation import Revocation
from ztproxy.identity.saved_keys import SavedKeys
from ztproxy.identity.tokens import MAXIMUM_TOKEN, bearer_of, malformed
from ztproxy.identity.trusted import TrustedIssuer
from ztproxy.model import Arrived, Certificate, Identified, Reason, Refusal, Routed

_BEARER = "bearer"
"""What the token is noted under."""
SYSTEM_CLOCK = Clock(wall=time.time, monotonic=time.monotonic)


class Identity:
    """Certificates and tokens of every request. Make one with `build`."""

    def __init__(
        self,
        demands: Mapping[str, Demands],
        revocation: Mapping[str, ListenerRevocation],
        stores: Sequence[KeyStore],
        bearers: Bearers,
        clock: Clock,
    ) -> None:
        self._demands = demands
        self._listeners = revocation
        self._revocation = {listener: one.revocation for listener, one in revocation.items()}
        self._stores = stores
        self._bearers = bearers
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def build(cls, settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> Self:
        """Read all trust that the configuration names; nothing is fetched yet. Raises `IdentityConfigError`."""
        demands = demands_of(settings)
        issuers = {issuer.issuer: _trusted(issuer, settings, clock) for issuer in settings.issuers}
        stores = [issuer.store for issuer in issuers.values()]
        return cls(demands, revocation_of(settings), stores, Bearers(issuers), clock)

    async def start(self) -> None:
        """Take up saved keys and begin to fetch; does not wait for any issuer."""
        for store in self._stores:
            if not store.taken_over:
                store.load()
            store.start()
        create_task = asyncio.get_running_loop().create_task
        self._tasks = [create_task(listener.keep_current()) for listener in self._listeners.values()]

    def take_over(self, previous: "Identity") -> None:
        """Go on with the keys of issuers that are the same; verdicts about tokens are made anew."""
        known = {store.issuer: store for store in previous._stores}  # noqa: SLF001 - one of its own kind
        for store in self._stores:
            if before := known.get(store.issuer):
                store.take_over(before.standing())

    async def close(self) -> None:
        """Stop fetching and looking at files."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for store in self._stores:
            await store.close()

    def summary(self) -> Iterator[str]:
        """What is trusted and how current it is, for the start-up summary."""
        now = self._clock.wall()
        for address, revocation in self._revocation.items():
            yield from (f"{address}: {fact}" for fact in revocation.summary(now))
        for store in self._stores:
            yield store.summary(now)

    @property
    def stores(self) -> Sequence[KeyStore]:
        """The keys of each issuer."""
        return self._stores

    @property
    def revocation(self) -> Mapping[str, Revocation]:
        """By listener that has revocation lists."""
        return self._revocation

    def unready(self) -> Iterator[str]:
        """Issuers whose tokens cannot be verified, because no keys of theirs are known."""
        now = self._clock.wall()
        for store in self._stores:
            if now >= store.usable_until:
                yield f"issuer {store.issuer}: no usable keys" + (f" ({store.last_failure})" if store.failures else "")

    async def identify(self, routed: Routed) -> Identified | Refusal:
        """Who asks. What is presented must hold, demanded or not; suspends only while an issuer's keys are fetched."""
        arrived = routed.arrived
        demands = self._demands[routed.route]
        certificate = self._certificate(arrived, demands)
        if isinstance(certificate, Refusal):
            return certificate
        presented = _presented(arrived, demands)
        if presented is None:
            return Identified(arrived, routed.route, certificate, None)
        if isinstance(presented, Refusal):
            return challenged(presented)
        bearer, digest = presented
        token = self._bearers.recall(digest, demands.issuers, arrived.wall)
        if token is None:
            verdict = await self._bearers.verify(bearer, digest, demands.issuers, arrived.wall, arrived.monotonic)
            if isinstance(verdict, Refusal):
                return challenged(verdict)
            token = verdict
        if token.bound_to is not None and not _holds(token.bound_to, certificate):
            return challenged(Refusal(Reason.TOKEN_BINDING_MISMATCH))
        return Identified(arrived, routed.route, certificate, token)

    def _certificate(self, arrived: Arrived, demands: Demands) -> Certificate | Refusal | None:
        unchecked = arrived.connection.unchecked_certificate
        if unchecked is None:
            return Refusal(Reason.CERTIFICATE_REQUIRED) if demands.certificate else None
        if isinstance(unchecked, Refusal):
            return unchecked
        if refusal := fit(unchecked, demands.authorities, arrived.wall):
            return refusal
        revocation = self._revocation.get(arrived.connection.listener)
        return unchecked if revocation is None else revocation.check(unchecked, arrived.wall)


def _presented(arrived: Arrived, demands: Demands) -> tuple[bytes, bytes] | Refusal | None:
    """The one token in the Authorization fields and its SHA-256; None where none counts, and none is demanded."""
    values = arrived.unverified_authorization
    if len(values) > 1:
        return malformed("There is more than one Authorization field.")
    if not demands.issuers:
        return None
    if not values:
        return Refusal(Reason.TOKEN_MISSING) if demands.token else None
    noted: tuple[tuple[bytes, ...], tuple[bytes, bytes]] | None = arrived.notes.get(_BEARER)
    if noted is not None and noted[0] is values:
        return noted[1]
    presented = bearer_of(values[0])
    if presented is None:
        return Refusal(Reason.TOKEN_MISSING) if demands.token else None
    if len(presented) > MAXIMUM_TOKEN:
        return malformed(f"The token is longer than {MAXIMUM_TOKEN} octets.")
    found = (presented, hashlib.sha256(presented).digest())
    arrived.notes[_BEARER] = (values, found)  # for those very values and no others
    return found


def _holds(bound_to: str, certificate: Certificate | None) -> bool:
    """Whether the connection's certificate is the one that a token is bound to (RFC 8705 §3)."""
    return certificate is not None and certificate.fingerprint == bound_to


def _trusted(issuer: Issuer, settings: Settings, clock: Clock) -> TrustedIssuer:
    trust = trust_in(issuer.authorities, f"issuers[{issuer.issuer}].authorities")
    store = KeyStore(
        issuer.issuer,
        partial(fetch_keys, Fetcher(trust), issuer.issuer, issuer.jwks_uri),
        SavedKeys(settings.state / "keys", issuer.issuer, issuer.jwks_uri),
        issuer.max_stale,
        clock,
        source=(issuer.issuer, issuer.jwks_uri, issuer.authorities),
    )
    groups = None if issuer.groups is None else GroupMapping(issuer.issuer, issuer.groups)
    expected = Expected(frozenset(issuer.audiences), issuer.leeway, groups)
    return TrustedIssuer(frozenset(issuer.algorithms), expected, store)
