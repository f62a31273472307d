"""Who asks: the stage that turns a `Routed` into an `Identified`, or says why not."""

import asyncio
import hashlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Self

from ztproxy.config.settings import Settings
from ztproxy.config.spiffe_ids import SCHEME
from ztproxy.identity.authority import Authority
from ztproxy.identity.bearers import Bearers
from ztproxy.identity.binding import objection
from ztproxy.identity.bundle_keys import svid_issuers
from ztproxy.identity.challenge import challenged
from ztproxy.identity.configured import ConfiguredIssuer
from ztproxy.identity.demands import Demands, demands_of
from ztproxy.identity.discovery import MetadataStore
from ztproxy.identity.exchanging import exchangers_of
from ztproxy.identity.fitness import fit
from ztproxy.identity.introspection import Introspector
from ztproxy.identity.issuers import KeyStore
from ztproxy.identity.kept import Clock, Kept
from ztproxy.identity.known import summary as revocation_summary
from ztproxy.identity.listeners import Knowledge, knowledge_of
from ztproxy.identity.login.building import login_issuers
from ztproxy.identity.login.service import Logins
from ztproxy.identity.possession import Possession
from ztproxy.identity.proving import possession_of
from ztproxy.identity.refreshing import Refreshed
from ztproxy.identity.revocation import Revocation
from ztproxy.identity.sessions import storing
from ztproxy.identity.sessions.cross_site import may_change
from ztproxy.identity.sessions.service import Sessions
from ztproxy.identity.sessions.session import Found
from ztproxy.identity.standing import Verdict
from ztproxy.identity.token_exchange import Exchanger
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

    def take_over(self, previous: "Identity") -> None:
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

    def follow(self, serving: "Identity") -> None:
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

    async def rejudge(self, rights: Sequence[Right], now: float) -> Sequence[Refusal | None]:
        """Of each right to an open stream: why it counts no more, None where it does.

        Args:
            rights: what they rest on.
            now: seconds since 1970.
        """
        monotonic = self._clock.monotonic()
        return [self._rejudged(right, now) or await self._token_over(right, now, monotonic) for right in rights]

    async def _token_over(self, right: Right, now: float, monotonic: float) -> Refusal | None:
        token, demands = right.token, self._demands.get(right.route)
        if token is None:
            return None
        if token.session is None:
            return await self._bearers.rejudge(token, now, monotonic)
        if self.sessions is None or demands is None or demands.login != token.issuer:
            return Refusal(Reason.SESSION_ENDED, cause="its sessions do not count on the route any more")
        return await self.sessions.streams.still(token, now, monotonic)

    def _rejudged(self, right: Right, now: float) -> Refusal | None:
        certificate, demands = right.certificate, self._demands.get(right.route)
        if certificate is None:
            return None
        if demands is not None and demands.workloads is not None:
            refusal = demands.workloads.refuse(certificate, demands.authorities)
            if refusal is not None:
                return refusal
        revocation = self._revocation.get(right.listener)
        if revocation is None:
            return None
        verdict = revocation.verdict(certificate, now)
        if verdict.first is not None:
            return None  # it is looked at again when there is an answer, or none is to be expected
        return revocation.refusal(verdict)

    async def step_up(self, identified: Identified, refusal: Refusal) -> Met:
        """How a request is met whose login the policy finds too weak or too old (RFC 9470 §3)."""
        demands, token = self._demands[identified.route], identified.token
        met: Met = refusal
        if self._logins is not None and demands.login is not None and (token is None or token.session is not None):
            met = await self._logins.step_up(identified, refusal)
        return self._challenged(met, identified.arrived, demands) if isinstance(met, Refusal) else met

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
        refusal = objection(token, certificate, demands.bindings[token.issuer], proven=proven)
        if refusal is None and demands.workloads is not None:
            refusal = demands.workloads.refuse_token(token)
        if refusal is not None:
            return self._challenged(refusal, arrived, demands)
        identified = Identified(arrived, routed.route, certificate, token)
        return await self._proven(identified, token, demands) if proven else identified

    async def _proven(self, identified: Identified, token: Token, demands: Demands) -> Identified | Refusal:
        """The same, once a proof of possession has been judged; and what is to be told of it."""
        if self._possession is None:  # then nothing is presented under the scheme DPoP
            return self._challenged(Refusal(Reason.TOKEN_BINDING_MISMATCH), identified.arrived, demands)
        told = await self._possession.check(identified.arrived, token)
        if isinstance(told, Refusal):
            return self._challenged(told, identified.arrived, demands)
        return Identified(identified.arrived, identified.route, identified.certificate, token, told)

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
        met: Met = refusal
        if refusal.reason is Reason.TOKEN_MISSING and self._logins is not None and demands.login is not None:
            met = await self._logins.required(routed)
        return self._challenged(met, routed.arrived, demands) if isinstance(met, Refusal) else met

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
