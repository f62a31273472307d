"""Whether a client certificate was revoked: looked up on every request, in lists held in memory.

Every certificate of the chain below its trust anchor needs a list of its own authority that is current and covers it;
where one is missing, whether it was revoked is not known, which is never taken for good.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import pairwise

import msgspec
from cryptography import x509

from ztproxy.identity.crl import RevocationList, authority_id, points_of
from ztproxy.model import Certificate, Reason, Refusal

MAXIMUM_REMEMBERED = 4096
"""Chains whose standing is remembered."""
_TELL_EVERY = 60.0
"""Seconds between two log lines about certificates let in unchecked."""
_log = logging.getLogger("ztproxy.identity")


class Standing(Enum):
    """What the lists say about a chain."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class Verdict(msgspec.Struct, frozen=True):
    """A chain's standing from one time until another, in seconds since 1970."""

    standing: Standing
    since: float
    until: float
    certificate: Certificate
    """As it leaves here: marked `good` where it is."""
    cause: str = ""


class Revocation:
    """The lists of one listener."""

    def __init__(self, lists: Iterable[RevocationList], *, allow_unknown: bool) -> None:
        self.lists = tuple(lists)
        self.let_in_unchecked = 0
        """Requests let in although whether their certificate was revoked was not known."""
        self._allow_unknown = allow_unknown
        self._told_at = float("-inf")
        self._remembered: OrderedDict[tuple[bytes, ...], Verdict] = OrderedDict()

    def check(self, certificate: Certificate, now: float) -> Certificate | Refusal:
        """The certificate, marked as good where it is; or a refusal: `CERTIFICATE_REVOKED`, `REVOCATION_UNKNOWN`."""
        verdict = self._remembered.get(certificate.chain)
        if verdict is None or not verdict.since <= now < verdict.until:
            verdict = self._judge(certificate, now)
        if verdict.standing is Standing.GOOD:
            return verdict.certificate
        if verdict.standing is Standing.REVOKED:
            return Refusal(Reason.CERTIFICATE_REVOKED)
        if not self._allow_unknown:
            return Refusal(Reason.REVOCATION_UNKNOWN, cause=verdict.cause)
        self._count(verdict.cause, now)
        return verdict.certificate

    def summary(self, now: float) -> Iterator[str]:
        """Each list's authority and age, and whether its silence means anything."""
        for one in self.lists:
            state = f"made {_age(now - one.this_update)} ago, {len(one.revoked)} revoked"
            if not one.complete:
                state += "; of a kind that leaves open whether a certificate is good"
            if not one.this_update <= now < one.next_update:
                state += "; not current"
            yield f"revocation list of {one.name}: {state}"

    def replace(self, lists: Iterable[RevocationList]) -> None:
        """Rest every verdict on these lists from here on."""
        self.lists = tuple(lists)
        self._remembered.clear()

    def _judge(self, certificate: Certificate, now: float) -> Verdict:
        verdict = standing_of(certificate, self.lists, now)
        self._remembered.pop(certificate.chain, None)
        if verdict.standing is not Standing.UNKNOWN:
            if len(self._remembered) >= MAXIMUM_REMEMBERED:
                self._remembered.popitem(last=False)
            self._remembered[certificate.chain] = verdict
        return verdict

    def _count(self, cause: str, now: float) -> None:
        self.let_in_unchecked += 1
        if abs(now - self._told_at) >= _TELL_EVERY:
            self._told_at = now
            _log.warning("certificates are let in unchecked (%d requests so far): %s", self.let_in_unchecked, cause)


def _age(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days" if abs(seconds) >= 86400 else f"{seconds / 3600:.1f} hours"  # noqa: PLR2004


def standing_of(certificate: Certificate, lists: Iterable[RevocationList], now: float) -> Verdict:
    """What these lists say about a certificate and every authority between it and its trust anchor at a time."""
    chain = [x509.load_der_x509_certificate(der) for der in certificate.chain]
    since, until = float("-inf"), float("inf")
    unknown = "" if len(chain) > 1 else "the certificate is its own trust anchor"
    for place, (subject, issuer) in enumerate(pairwise(chain)):
        own = [one for one in lists if one.authority == authority_id(issuer)]
        if any(subject.serial_number in one.revoked for one in own):
            return Verdict(Standing.REVOKED, float("-inf"), float("inf"), certificate)
        covering = [one for one in own if _covers(one, subject, is_authority=place > 0)]
        current = [one for one in covering if one.this_update <= now < one.next_update]
        if current:
            newest = max(current, key=lambda one: one.next_update)
            since, until = max(since, newest.this_update), min(until, newest.next_update)
        else:
            state = "is current" if covering else "covers it"
            unknown = f"no list of {issuer.subject.rfc4514_string()!r} {state}"
    if unknown:
        return Verdict(Standing.UNKNOWN, now, now, certificate, unknown)
    return Verdict(Standing.GOOD, since, until, msgspec.structs.replace(certificate, revocation="good"))


def _covers(one: RevocationList, subject: x509.Certificate, *, is_authority: bool) -> bool:
    """Whether the subject's absence from a list says that it was not revoked (RFC 5280 §6.3.3 b)."""
    if not one.complete or not (one.for_authorities if is_authority else one.for_users):
        return False
    return one.points is None or not one.points.isdisjoint(points_of(subject))
