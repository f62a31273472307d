"""Who asks: the stage that turns a `Routed` into an `Identified`, or says why not."""

import hashlib
from collections.abc import Sequence

from ztproxy.identity.basis import Basis
from ztproxy.identity.certificates.fitness import fit
from ztproxy.identity.challenge import challenged
from ztproxy.identity.demands import Demands
from ztproxy.identity.revocation.standing import Verdict
from ztproxy.identity.sessions.cross_site import may_change
from ztproxy.identity.sessions.service import Sessions
from ztproxy.identity.sessions.session import Found
from ztproxy.identity.tokens.binding import objection
from ztproxy.identity.tokens.unverified import MAXIMUM_TOKEN, malformed, under_scheme
from ztproxy.model import Arrived, Certificate, Identified, Met, Reason, Refusal, Right, Routed, Token

_BEARER = "bearer"
"""What the token is noted under."""
_MISSING = Refusal(Reason.TOKEN_MISSING)
_Presented = tuple[bytes, bytes, bool]
"""A token, its SHA-256, and whether it came under the scheme DPoP."""


class Identity(Basis):
    """Certificates, tokens and sessions of every request. Make one with `build`."""

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
        if refusal is _MISSING and self._logins is not None and demands.login is not None:
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
        return _MISSING if demands.token else None
    if not values:
        return _MISSING if demands.token else None
    noted: tuple[tuple[bytes, ...], _Presented] | None = arrived.notes.get(_BEARER)
    if noted is not None and noted[0] is values:
        return noted[1]
    presented, proven = under_scheme(values[0], b"bearer"), False
    if presented is None and demands.schemes.proofs:
        presented, proven = under_scheme(values[0], b"dpop"), True
    if presented is None:
        return _MISSING if demands.token else None
    if len(presented) > MAXIMUM_TOKEN:
        return malformed(f"The token is longer than {MAXIMUM_TOKEN} octets.")
    found = (presented, hashlib.sha256(presented).digest(), proven)
    arrived.notes[_BEARER] = (values, found)  # for those very values and no others
    return found
