"""Who asks: the stage that turns a `Routed` into an `Identified`, or says why not."""

import asyncio
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from ztproxy.config.settings import Settings
from ztproxy.identity.bearers import Bearers
from ztproxy.identity.challenge import challenged
from ztproxy.identity.configured import ConfiguredIssuer
from ztproxy.identity.demands import Demands, demands_of
from ztproxy.identity.discovery import MetadataStore
from ztproxy.identity.fitness import fit
from ztproxy.identity.issuers import KeyStore
from ztproxy.identity.kept import Clock, Kept
from ztproxy.identity.listeners import ListenerRevocation, revocation_of
from ztproxy.identity.revocation import Revocation
from ztproxy.identity.tokens import MAXIMUM_TOKEN, bearer_of, malformed
from ztproxy.model import Arrived, Certificate, Identified, Meet, Met, Reason, Refusal, Right, Routed

_BEARER = "bearer"
"""What the token is noted under."""
SYSTEM_CLOCK = Clock(wall=time.time, monotonic=time.monotonic)


class Identity:
    """Certificates and tokens of every request. Make one with `build`."""

    def __init__(
        self,
        demands: Mapping[str, Demands],
        revocation: Mapping[str, ListenerRevocation],
        issuers: Mapping[str, ConfiguredIssuer],
        clock: Clock,
    ) -> None:
        self._demands = demands
        self._listeners = revocation
        self._revocation = {listener: one.revocation for listener, one in revocation.items()}
        self._issuers = issuers
        self._stores = [one.keys for one in issuers.values() if one.verifies]
        self._bearers = Bearers({name: one.trusted() for name, one in issuers.items()})
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def build(cls, settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> Self:
        """Read all trust that the configuration names; nothing is fetched yet. Raises `IdentityConfigError`."""
        demands = demands_of(settings)
        issuers = {one.issuer: ConfiguredIssuer(one, settings.state, clock) for one in settings.issuers}
        return cls(demands, revocation_of(settings), issuers, clock)

    async def start(self) -> None:
        """Take up what was saved and begin to fetch; does not wait for any issuer."""
        for one in self._kept():
            if not one.taken_over:
                one.load()
        for issuer in self._issuers.values():
            issuer.start()
        create_task = asyncio.get_running_loop().create_task
        self._tasks = [create_task(listener.keep_current()) for listener in self._listeners.values()]

    def take_over(self, previous: "Identity") -> None:
        """Go on with what is known of issuers that are the same; verdicts about tokens are made anew."""
        known = previous._issuers  # noqa: SLF001 - one of its own kind
        for name, issuer in self._issuers.items():
            if before := known.get(name):
                issuer.take_over(before)

    async def close(self) -> None:
        """Stop fetching and looking at files."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for issuer in self._issuers.values():
            await issuer.close()

    def summary(self) -> Iterator[str]:
        """What is trusted and how current it is, for the start-up summary."""
        now = self._clock.wall()
        for address, revocation in self._revocation.items():
            yield from (f"{address}: {fact}" for fact in revocation.summary(now))
        for store in self._stores:
            yield store.summary(now)

    def _kept(self) -> Iterator[Kept[Any]]:
        """All that is kept of issuers."""
        for issuer in self._issuers.values():
            yield from issuer.kept

    @property
    def metadata(self) -> Mapping[str, MetadataStore]:
        """What each issuer says about itself, by its name."""
        return {name: issuer.metadata for name, issuer in self._issuers.items()}

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

    @property
    def reserved(self) -> Mapping[str, Meet]:
        """The reserved paths that belong to this stage."""
        return {}

    async def rejudge(self, rights: Sequence[Right], now: float) -> Sequence[Refusal | None]:
        """Of each right to an open stream: why it counts no more, None where it does.

        Args:
            rights: what they rest on.
            now: seconds since 1970.
        """
        return [self._rejudged(right, now) for right in rights]

    def _rejudged(self, right: Right, now: float) -> Refusal | None:
        revocation = self._revocation.get(right.listener)
        if revocation is None or right.certificate is None:
            return None
        found = revocation.check(right.certificate, now)
        return found if isinstance(found, Refusal) else None

    async def step_up(self, identified: Identified, refusal: Refusal) -> Met:  # noqa: ARG002 - sessions will differ
        """How a request is met whose login the policy finds too weak or too old (RFC 9470 §3)."""
        return challenged(refusal)

    async def identify(self, routed: Routed) -> Identified | Met:
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
