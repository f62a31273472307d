"""Who asks: the stage that turns a `Routed` into an `Identified`, or says why not."""

import hashlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self

from ztproxy.config.settings import Issuer, Settings
from ztproxy.config.spiffe_ids import SCHEME
from ztproxy.identity.authorities import trust_in
from ztproxy.identity.authority import Authority
from ztproxy.identity.bearers import Bearers
from ztproxy.identity.binding import objection
from ztproxy.identity.bundle_keys import svid_issuers
from ztproxy.identity.challenge import challenged
from ztproxy.identity.claims import Expected
from ztproxy.identity.demands import Demands, demands_of
from ztproxy.identity.discovery import (
    MetadataStore,
    fetch_keys,
    fetch_metadata,
    place_of_keys,
    saved_keys,
    saved_metadata,
)
from ztproxy.identity.fetching import Fetcher
from ztproxy.identity.fitness import fit
from ztproxy.identity.groups import GroupMapping
from ztproxy.identity.issuers import KeyStore
from ztproxy.identity.kept import Clock, Kept
from ztproxy.identity.known import summary as revocation_summary
from ztproxy.identity.listeners import Knowledge, knowledge_of
from ztproxy.identity.login.building import login_issuers
from ztproxy.identity.login.service import Logins
from ztproxy.identity.possession import Possession
from ztproxy.identity.proving import possession_of
from ztproxy.identity.revocation import Revocation
from ztproxy.identity.sessions import storing
from ztproxy.identity.sessions.cross_site import may_change
from ztproxy.identity.sessions.service import Sessions
from ztproxy.identity.sessions.session import Found
from ztproxy.identity.standing import Verdict
from ztproxy.identity.tokens import MAXIMUM_TOKEN, malformed, under_scheme
from ztproxy.identity.trusted import TrustedIssuer
from ztproxy.model import Arrived, Certificate, Identified, Meet, Met, Reason, Refusal, Right, Routed, Token
from ztproxy.spiffe.workload import Workload

_BEARER = "bearer"
"""What the token is noted under."""
_Presented = tuple[bytes, bytes, bool]
"""A token, its SHA-256, and whether it came under the scheme DPoP."""
SYSTEM_CLOCK = Clock(wall=time.time, monotonic=time.monotonic)


class Identity:
    """Certificates and tokens of every request. Make one with `build`."""

    def __init__(
        self,
        demands: Mapping[str, Demands],
        knowledge: Knowledge,
        stores: Sequence[KeyStore],
        bearers: Bearers,
        clock: Clock,
        *,
        metadata: Mapping[str, MetadataStore],
        possession: Possession | None = None,
        sessions: Sessions | None = None,
        logins: Logins | None = None,
    ) -> None:
        self._demands = demands
        self._knowledge = knowledge
        self._revocation = knowledge.listeners
        self._stores = stores
        self.metadata = metadata
        """What each issuer says about itself, by its name."""
        self._bearers = bearers
        self._clock = clock
        self._possession = possession
        self.sessions = sessions
        """None where nobody logs in."""
        self._logins = logins

    @classmethod
    def build(cls, settings: Settings, *, clock: Clock = SYSTEM_CLOCK, workload: Workload | None = None) -> Self:
        """Read all trust that the configuration names; nothing is fetched yet. Raises `IdentityConfigError`."""
        demands = demands_of(settings, workload)
        asked = {
            issuer.issuer: _Asked(issuer, settings, clock)
            for issuer in settings.issuers
            if not issuer.issuer.startswith(SCHEME)
        }
        issuers = {name: one.trusted() for name, one in asked.items()}
        stores = [issuer.store for issuer in issuers.values() if isinstance(issuer.store, KeyStore)]
        issuers |= svid_issuers(settings, workload)
        metadata = {name: one.metadata for name, one in asked.items()}
        sessions = storing.build(settings, clock)
        return cls(
            demands,
            knowledge_of(settings, clock),
            stores,
            Bearers(issuers),
            clock,
            metadata=metadata,
            possession=possession_of(settings, clock.wall),
            sessions=sessions,
            logins=None if sessions is None else _logins(settings, issuers, metadata, sessions, clock),
        )

    async def start(self) -> None:
        """Take up what was saved and begin to fetch; does not wait for any issuer."""
        for one in self._kept():
            if not one.taken_over:
                one.load()
        for store in self._stores:
            store.start()  # metadata goes along with the keys that it tells the place of, or with whoever asks for it
        self._knowledge.start()

    def take_over(self, previous: "Identity") -> None:
        """Go on with what is known of issuers that are the same, and with used proofs; tokens are judged anew."""
        if self._possession is not None and previous._possession is not None:  # noqa: SLF001 - one of its own kind
            self._possession.take_over(previous._possession, self._clock.wall())  # noqa: SLF001 - likewise
        known = {store.issuer: store for store in previous._stores}  # noqa: SLF001 - one of its own kind
        for store in self._stores:
            if before := known.get(store.issuer):
                store.take_over(before.standing())
        for issuer, metadata in self.metadata.items():
            if earlier := previous.metadata.get(issuer):
                metadata.take_over(earlier.standing())
        self._knowledge.take_over(previous._knowledge)  # noqa: SLF001 - likewise
        if self.sessions is not None and previous.sessions is not None:
            self.sessions.take_over(previous.sessions)

    async def close(self) -> None:
        """Stop fetching and looking at files."""
        await self._knowledge.close()
        for one in self._kept():
            await one.close()
        if self._possession is not None:
            await self._possession.replays.close()
        if self.sessions is not None:
            await self.sessions.close()

    def summary(self) -> Iterator[str]:
        """What is trusted and how current it is, for the start-up summary."""
        now = self._clock.wall()
        yield from revocation_summary(self._knowledge.authorities.values(), now)
        for store in self._stores:
            yield store.summary(now)

    def _kept(self) -> Iterator[Kept[Any]]:
        """All that is kept of issuers."""
        yield from self._stores
        yield from self.metadata.values()

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

    async def rejudge(self, rights: Sequence[Right], now: float) -> Sequence[Refusal | None]:
        """Of each right to an open stream: why it counts no more, None where it does.

        Args:
            rights: what they rest on.
            now: seconds since 1970.
        """
        monotonic = self._clock.monotonic()
        return [self._rejudged(right, now) or await self._session_over(right, now, monotonic) for right in rights]

    async def _session_over(self, right: Right, now: float, monotonic: float) -> Refusal | None:
        token, demands = right.token, self._demands.get(right.route)
        if token is None or token.session is None:
            return None
        if self.sessions is None or demands is None or demands.login != token.issuer:
            return Refusal(Reason.SESSION_ENDED, cause="its sessions do not count on the route any more")
        return await self.sessions.streams.still(token, now, monotonic)

    def _rejudged(self, right: Right, now: float) -> Refusal | None:
        revocation = self._revocation.get(right.listener)
        if revocation is None or right.certificate is None:
            return None
        found = revocation.check(right.certificate, now)
        return found if isinstance(found, Refusal) else None

    async def step_up(self, identified: Identified, refusal: Refusal) -> Met:
        """How a request is met whose login the policy finds too weak or too old (RFC 9470 §3)."""
        demands, token = self._demands[identified.route], identified.token
        asked = self._challenged(refusal, identified.arrived, demands)
        if self._logins is None or demands.login is None or (token is not None and token.session is None):
            return asked
        return await self._logins.step_up(identified, asked)

    async def identify(self, routed: Routed) -> Identified | Met:
        """Who asks. What is presented must hold, demanded or not; suspends only for what is not known at all.

        That is an issuer's keys, or whether a certificate was revoked, while it is asked for the first time.
        """
        arrived = routed.arrived
        demands = self._demands[routed.route]
        certificate = self._certificate(arrived, demands)
        if isinstance(certificate, Verdict):
            certificate = await self._settled(certificate, arrived)
        if isinstance(certificate, Refusal):
            return certificate
        if self.sessions is not None and _by_cookie(arrived, demands):
            known = self.sessions.recall(arrived, demands.login)
            session = known or await self._session(self.sessions, arrived, demands)
            if session is not None:
                return self._by_session(session, certificate, routed, demands)
        presented = _presented(arrived, demands)
        if presented is None:
            return Identified(arrived, routed.route, certificate, None)
        if isinstance(presented, Refusal):
            return await self._by_nothing(presented, routed, demands)
        bearer, digest, proven = presented
        token = self._bearers.recall(digest, demands.issuers, arrived.wall) or await self._bearers.verify(
            bearer, digest, demands.issuers, arrived.wall, arrived.monotonic
        )
        if isinstance(token, Refusal):
            return self._challenged(token, arrived, demands)
        if refusal := objection(token, certificate, demands.bindings[token.issuer], proven=proven):
            return self._challenged(refusal, arrived, demands)
        if demands.workloads is not None and (refused := demands.workloads.refuse_token(token)):
            return refused
        if not proven or self._possession is None:
            return Identified(arrived, routed.route, certificate, token)
        told = await self._possession.check(arrived, token)
        if isinstance(told, Refusal):
            return self._challenged(told, arrived, demands)
        return Identified(arrived, routed.route, certificate, token, told)

    @staticmethod
    async def _session(sessions: Sessions, arrived: Arrived, demands: Demands) -> Token | Refusal | None:
        """The session that a request presents, as the store has it."""
        found = await sessions.find(arrived, demands.login)
        return found.token if isinstance(found, Found) else found

    def _by_session(
        self, session: Token | Refusal, certificate: Certificate | None, routed: Routed, demands: Demands
    ) -> Identified | Refusal:
        """Who asks by a session that counts, unless it does not stand for this very request."""
        arrived = routed.arrived
        if isinstance(session, Refusal):
            return self._challenged(session, arrived, demands)
        if demands.binding != "none" and (unbound := objection(session, certificate, demands.binding, proven=False)):
            return self._challenged(unbound, arrived, demands)
        if may_change(arrived) and (refusal := demands.crossing(arrived)):
            return refusal
        return Identified(arrived, routed.route, certificate, session)

    async def _by_nothing(self, refusal: Refusal, routed: Routed, demands: Demands) -> Met:
        """Nothing was presented that tells who asks: whoever can log in is asked to."""
        if refusal.reason is Reason.TOKEN_MISSING and self._logins is not None and demands.login is not None:
            return await self._logins.required(routed)
        return self._challenged(refusal, routed.arrived, demands)

    def _challenged(self, refusal: Refusal, arrived: Arrived, demands: Demands) -> Refusal:
        """The refusal, and how a token has to be presented here."""
        possession = self._possession
        nonce = None if possession is None else possession.nonce(arrived.wall)
        return challenged(refusal, demands.schemes, nonce)

    def _certificate(self, arrived: Arrived, demands: Demands) -> Certificate | Refusal | Verdict | None:
        """The certificate that counts; a verdict where something is being asked that may change it soon."""
        unchecked = arrived.connection.unchecked_certificate
        if unchecked is None:
            return Refusal(Reason.CERTIFICATE_REQUIRED) if demands.certificate else None
        if isinstance(unchecked, Refusal):
            return unchecked
        if refusal := fit(unchecked, demands.authorities, arrived.wall, demands.workloads):
            return refusal
        revocation = self._revocation.get(arrived.connection.listener)
        if revocation is None:
            return unchecked
        verdict = revocation.verdict(unchecked, arrived.wall)
        return verdict if verdict.first is not None else revocation.outcome(verdict, arrived.wall)

    async def _settled(self, verdict: Verdict, arrived: Arrived) -> Certificate | Refusal:
        """The outcome once there is a first answer about a certificate, or it has been waited for long enough."""
        revocation = self._revocation[arrived.connection.listener]
        settled = await revocation.settled(verdict, self._clock)
        return revocation.outcome(settled, self._clock.wall())


def _by_cookie(arrived: Arrived, demands: Demands) -> bool:
    """Whether a cookie may say who asks: where a token counts and is sent, what was sent on purpose goes before."""
    return (
        demands.login is not None
        and bool(arrived.own_cookies)
        and not (arrived.unverified_authorization and demands.issuers)
    )


def _presented(arrived: Arrived, demands: Demands) -> _Presented | Refusal | None:
    """The one token in the Authorization fields; None where none counts, and none is demanded."""
    values = arrived.unverified_authorization
    if len(values) > 1:
        return malformed("There is more than one Authorization field.")
    if not demands.issuers:
        return Refusal(Reason.TOKEN_MISSING) if demands.token else None
    if not values:
        return Refusal(Reason.TOKEN_MISSING) if demands.token else None
    noted: tuple[tuple[bytes, ...], _Presented] | None = arrived.notes.get(_BEARER)
    if noted is not None and noted[0] is values:
        return noted[1]
    presented, proven = under_scheme(values[0], b"bearer"), False
    if presented is None and demands.schemes.proofs:
        presented, proven = under_scheme(values[0], b"dpop"), True
    if presented is None:
        return Refusal(Reason.TOKEN_MISSING) if demands.token else None
    if len(presented) > MAXIMUM_TOKEN:
        return malformed(f"The token is longer than {MAXIMUM_TOKEN} octets.")
    found = (presented, hashlib.sha256(presented).digest(), proven)
    arrived.notes[_BEARER] = (values, found)  # for those very values and no others
    return found


def _logins(
    settings: Settings,
    issuers: Mapping[str, TrustedIssuer],
    metadata: Mapping[str, MetadataStore],
    sessions: Sessions,
    clock: Clock,
) -> Logins:
    return Logins.build(settings, login_issuers(settings, issuers, metadata, clock), sessions, clock)


class _Asked:
    """An issuer's servers, and what is asked of them."""

    def __init__(self, issuer: Issuer, settings: Settings, clock: Clock) -> None:
        name = issuer.issuer
        self._issuer, self._settings, self._clock = issuer, settings, clock
        self._fetcher = Fetcher(trust_in(issuer.authorities, f"issuers[{name}].authorities"))
        self.metadata = MetadataStore(
            name,
            partial(fetch_metadata, self._fetcher, name),
            saved_metadata(settings.state / "metadata", name),
            issuer.max_stale,
            clock,
            source=(name, issuer.authorities),
        )

    def trusted(self) -> TrustedIssuer:
        """What the verdict on its tokens rests on."""
        issuer = self._issuer
        store = KeyStore(
            issuer.issuer,
            partial(fetch_keys, self._fetcher, partial(place_of_keys, self.metadata, issuer.jwks_uri)),
            saved_keys(self._settings.state / "keys", issuer.issuer, issuer.jwks_uri),
            issuer.max_stale,
            self._clock,
            source=(issuer.issuer, issuer.jwks_uri, issuer.authorities),
        )
        groups = None if issuer.groups is None else GroupMapping(issuer.issuer, issuer.groups)
        expected = Expected(frozenset(issuer.audiences), issuer.leeway, groups)
        return TrustedIssuer(frozenset(issuer.algorithms), expected, store)
