"""What lists and answers say about one certificate at one time: decided here, with nothing fetched or remembered."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import pairwise

import msgspec
from cryptography import x509
from cryptography.x509.ocsp import OCSPCertStatus

from ztproxy.identity.revocation.crl import AuthorityId, RevocationList, authority_id
from ztproxy.identity.revocation.first import First
from ztproxy.identity.revocation.ocsp import SKEW, Answer
from ztproxy.identity.revocation.pointers import Pointers, pointers_of
from ztproxy.model import Certificate

_EVER = float("inf")


class Standing(Enum):
    """What is known about a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class Link(msgspec.Struct, frozen=True):
    """A certificate of a verified chain, and who issued it."""

    subject: x509.Certificate
    issuer: x509.Certificate
    authority: AuthorityId
    """The issuer's name and key."""
    pointers: Pointers
    is_authority: bool


class Finding(msgspec.Struct, frozen=True):
    """A standing from one time until another, in seconds since 1970."""

    standing: Standing
    since: float = -_EVER
    until: float = _EVER
    stale: bool = False
    """It rests on something that is past its end, and within the grace."""
    cause: str = ""


class Rule(msgspec.Struct, frozen=True):
    """What holds for certificates of one authority when nothing current says whether they were revoked."""

    refuse: bool = True
    grace: float = 0.0
    """Seconds that what is known counts past its end."""
    wait: float = 0.0
    """Seconds that the first request of a certificate waits for what is being asked about it."""


class Verdict(msgspec.Struct, frozen=True):
    """A chain's standing from one time until another, in seconds since 1970."""

    standing: Standing
    since: float
    until: float
    certificate: Certificate
    """As it leaves here: marked `good` where it is."""
    cause: str = ""
    stale: bool = False
    refuse: bool = True
    """Whether it is refused when its standing is not known."""
    first: First | None = None
    """What is being asked for the first time, and may change it soon."""
    wait: float = 0.0
    """Seconds to wait for it."""


@functools.lru_cache(maxsize=1024)
def links_of(chain: tuple[bytes, ...]) -> tuple[Link, ...]:
    """The certificates of a chain below its anchor, the leaf first."""
    certificates = [x509.load_der_x509_certificate(der) for der in chain]
    return tuple(
        Link(subject, issuer, authority_id(issuer), pointers_of(subject), place > 0)
        for place, (subject, issuer) in enumerate(pairwise(certificates))
    )


def joined(findings: Iterable[Finding]) -> Finding:
    """Several findings about one certificate as one: revoked by any, else good by any, the one that holds longest."""
    best = Finding(Standing.UNKNOWN)
    for one in findings:
        if one.standing is Standing.REVOKED:
            return one
        if best.standing is Standing.UNKNOWN:
            best = one if one.standing is Standing.GOOD or not best.cause else best
        elif one.standing is Standing.GOOD and (not one.stale, one.until) > (not best.stale, best.until):
            best = one
    return best


def by_answer(answer: Answer, lists: Iterable[RevocationList], now: float, grace: float) -> Finding:
    """What an OCSP answer says; nothing where the one that gave it was revoked by one of the authority's lists."""
    if answer.delegate is not None and any(answer.delegate in one.revoked for one in lists):
        return Finding(Standing.UNKNOWN, cause="the OCSP responder's own certificate was revoked")
    if answer.status is OCSPCertStatus.REVOKED:
        return Finding(Standing.REVOKED)
    if answer.status is not OCSPCertStatus.GOOD:
        return Finding(Standing.UNKNOWN, cause="the OCSP responder does not know the certificate")
    if not _counts(answer, now, grace):
        return Finding(Standing.UNKNOWN, cause="the OCSP responder's last answer is out of date")
    return _good(answer, now, grace)


def by_lists(link: Link, lists: Sequence[RevocationList], now: float, grace: float) -> Finding:
    """What lists of the certificate's own authority say (RFC 5280 §6.3.3).

    Args:
        link: the certificate.
        lists: of its authority alone.
        now: seconds since 1970.
        grace: seconds that a list counts past its end.
    """
    serial = link.subject.serial_number
    for one in lists:
        if serial in one.revoked and not _taken_back(serial, one, lists, now):
            return Finding(Standing.REVOKED)
    covering = [one for one in lists if _covers(one, link)]
    found = [_good(one, now, grace) for one in _in_force(covering, lists, now, grace)]
    if found:
        return joined(found)
    name = link.issuer.subject.rfc4514_string()
    return Finding(Standing.UNKNOWN, cause=f"no list of {name!r} {'is current' if covering else 'covers it'}")


def _in_force(
    covering: Iterable[RevocationList], lists: Sequence[RevocationList], now: float, grace: float
) -> Iterator[RevocationList]:
    """Those whose silence counts now: a complete list, and the deltas that bring one up to date (§5.2.4)."""
    for one in covering:
        if _counts(one, now, grace):
            yield one
        yield from (delta for delta in lists if _follows(delta, one) and _counts(delta, now, grace))


def _follows(delta: RevocationList, one: RevocationList) -> bool:
    """Whether a delta tells what has changed since a list of its authority (§5.2.4)."""
    if delta.base is None or delta.number is None or one.number is None or not delta.understood:
        return False
    return delta.scope == one.scope and delta.base <= one.number < delta.number


def _taken_back(serial: int, one: RevocationList, lists: Iterable[RevocationList], now: float) -> bool:
    """Whether a revocation holds no more: a current delta took it back, or a delta's is gone from a newer whole list.

    Nothing that is out of date takes anything back.
    """
    for other in lists:
        if not _counts(other, now, 0.0):
            continue
        if serial in other.removed and _follows(other, one):
            return True
        if one.base is not None and _overtakes(other, one) and serial not in other.revoked:
            return True
    return False


def _overtakes(whole: RevocationList, delta: RevocationList) -> bool:
    if not whole.complete or whole.number is None or delta.number is None:
        return False
    return whole.scope == delta.scope and whole.number >= delta.number


def _counts(one: RevocationList | Answer, now: float, grace: float) -> bool:
    return one.this_update - SKEW <= now < one.next_update + grace


def _good(one: RevocationList | Answer, now: float, grace: float) -> Finding:
    stale = now >= one.next_update
    until = one.next_update + grace if stale else one.next_update
    cause = "what is known is out of date" if stale else ""
    return Finding(Standing.GOOD, one.this_update - SKEW, until, stale, cause)


def _covers(one: RevocationList, link: Link) -> bool:
    """Whether the subject's absence from a list says that it was not revoked (§6.3.3 b)."""
    if not one.complete or not (one.for_authorities if link.is_authority else one.for_users):
        return False
    return one.points is None or not one.points.isdisjoint(link.pointers.points)
