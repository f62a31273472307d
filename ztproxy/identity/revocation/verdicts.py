"""Whether a client certificate was revoked: looked up on every request, in what is held in memory.

For every certificate of the chain below its trust anchor, something current of its own authority must say that it is
good. Where nothing does, whether it was revoked is not known, which is never taken for good.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import msgspec

from ztproxy.identity.issuers.kept import Clock
from ztproxy.identity.revocation.authority import Authority
from ztproxy.identity.revocation.first import First
from ztproxy.identity.revocation.ocsp import SKEW
from ztproxy.identity.revocation.standing import Finding, Link, Rule, Standing, Verdict, joined, links_of
from ztproxy.identity.waiting import end_of
from ztproxy.model import Certificate, Reason, Refusal

MAXIMUM_REMEMBERED = 4096
"""Chains whose standing is remembered."""
UNKNOWN_FOR = 1.0
"""Seconds that it is remembered that nothing is known, at most: any news ends it."""
REVOKED_FOR = 60.0
"""Seconds that it is remembered that a certificate was revoked, at most: a delta list may come to take it back."""
_TELL_EVERY = 60.0
"""Seconds between two log lines about certificates let in unchecked."""
_LATER = ((b"retry-after", b"10"),)
_log = logging.getLogger("ztproxy.identity")


class Revocation:
    """What one listener knows about revoked certificates, and what it makes of it.

    Args:
        sources: authorities, each with the rule for its certificates; None: the listener's own.
        rule: the listener's own, for every other authority.
    """

    def __init__(self, sources: Sequence[tuple[Authority, Rule | None]], rule: Rule) -> None:
        self.sources = tuple(sources)
        self.let_in_unchecked = 0
        """Requests let in although whether their certificate was revoked was not known."""
        self.let_in_late = 0
        """Requests let in by what was past its end, within the grace."""
        self._rule = rule
        self._told_at = float("-inf")
        self._remembered: OrderedDict[tuple[bytes, ...], Verdict] = OrderedDict()
        for authority, _ in self.sources:
            authority.listen(self._changed)

    def verdict(self, certificate: Certificate, now: float) -> Verdict:
        """What is known now; begins to ask for what is not. `now` in seconds since 1970."""
        verdict = self._remembered.get(certificate.chain)
        if verdict is None or not verdict.since <= now < verdict.until:
            verdict = self._judge(certificate, now)
        return verdict

    async def settled(self, verdict: Verdict, clock: Clock) -> Verdict:
        """The verdict once what is being asked for the first time is known, or has been waited for long enough."""
        for _ in verdict.certificate.chain:  # there may be something to be known of each
            first = verdict.first
            left = 0.0 if first is None else first.since + verdict.wait - clock.monotonic()
            if first is None or left <= 0:
                break
            await end_of(first.ended, left)
            verdict = self.verdict(verdict.certificate, clock.wall())
        return verdict

    def check(self, certificate: Certificate, now: float) -> Certificate | Refusal:
        """The certificate, marked as good where it is; or a refusal: `CERTIFICATE_REVOKED`, `REVOCATION_UNKNOWN`."""
        return self.outcome(self.verdict(certificate, now), now)

    def outcome(self, verdict: Verdict, now: float) -> Certificate | Refusal:
        """What a verdict means for a request."""
        if verdict.standing is Standing.GOOD:
            if verdict.stale:
                self.let_in_late += 1
                self._tell("certificates are let in within the grace", self.let_in_late, verdict.cause, now)
            return verdict.certificate
        refusal = self.refusal(verdict)
        if refusal is not None:
            return refusal
        self.let_in_unchecked += 1
        self._tell("certificates are let in unchecked", self.let_in_unchecked, verdict.cause, now)
        return verdict.certificate

    @staticmethod
    def refusal(verdict: Verdict) -> Refusal | None:
        """Why a certificate counts no more by a verdict; None where it does. Nothing is counted."""
        if verdict.standing is Standing.REVOKED:
            return Refusal(Reason.CERTIFICATE_REVOKED)
        if verdict.standing is Standing.UNKNOWN and verdict.refuse:
            return Refusal(Reason.REVOCATION_UNKNOWN, cause=verdict.cause, fields=_LATER)
        return None

    def unready(self) -> Iterator[str]:
        """Authorities whose certificates are all refused, because nothing has ever been known about them."""
        for authority, rule in self.sources:
            if (rule or self._rule).refuse and authority.knows_nothing:
                yield f"nothing is known about revoked certificates of {authority.name}"

    def _judge(self, certificate: Certificate, now: float) -> Verdict:
        verdict = self._verdict(certificate, now)
        self._remembered.pop(certificate.chain, None)
        if verdict.first is None:
            if len(self._remembered) >= MAXIMUM_REMEMBERED:
                self._remembered.popitem(last=False)
            self._remembered[certificate.chain] = verdict
        return verdict

    def _verdict(self, certificate: Certificate, now: float) -> Verdict:
        links = links_of(certificate.chain)
        since, until = now - SKEW, float("inf")  # a clock that is set back has it judged anew
        stale, cause, refuse = False, "", False
        first: First | None = None
        wait = 0.0
        unknown = not links
        for link in links:
            rule = self._rule_of(link)
            finding, again_at, expected = self._look(link, rule, now)
            if finding.standing is Standing.REVOKED:
                return Verdict(Standing.REVOKED, now, min(again_at, now + REVOKED_FOR), certificate)
            since, until = max(since, finding.since), min(until, finding.until, again_at)
            cause = finding.cause or cause
            if finding.standing is Standing.UNKNOWN:
                unknown, refuse = True, refuse or rule.refuse
                if expected is not None and rule.wait > 0:
                    first, wait = expected, rule.wait
            else:
                stale = stale or finding.stale
        if not links:
            refuse, cause = self._rule.refuse, "the certificate is its own trust anchor"
        if unknown:
            until = min(until, now + UNKNOWN_FOR)
            return Verdict(Standing.UNKNOWN, now, until, certificate, cause, refuse=refuse, first=first, wait=wait)
        marked = msgspec.structs.replace(certificate, revocation="good")
        return Verdict(Standing.GOOD, since, until, marked, cause, stale)

    def _rule_of(self, link: Link) -> Rule:
        for authority, rule in self.sources:
            if rule is not None and link.authority in authority.ids:
                return rule
        return self._rule

    def _look(self, link: Link, rule: Rule, now: float) -> tuple[Finding, float, First | None]:
        """What all of its authority's sources say, when to look again, and what is expected soon."""
        looks = [one.look(link, now, rule.grace) for one, _ in self.sources if link.authority in one.ids]
        if not looks:
            name = link.issuer.subject.rfc4514_string()
            nothing = Finding(Standing.UNKNOWN, cause=f"nothing says which certificates of {name!r} are revoked")
            return nothing, float("inf"), None
        finding = joined(look.finding for look in looks)
        again_at = min(look.again_at for look in looks)
        return finding, again_at, next((look.first for look in looks if look.first is not None), None)

    def _changed(self, subject: bytes | None) -> None:
        """Something else is known about a certificate, or about any."""
        if subject is None:
            self._remembered.clear()
            return
        for chain in [chain for chain in self._remembered if subject in chain]:
            del self._remembered[chain]

    def _tell(self, what: str, count: int, cause: str, now: float) -> None:
        if abs(now - self._told_at) >= _TELL_EVERY:
            self._told_at = now
            _log.warning("%s (%d requests so far): %s", what, count, cause)
