"""How old what is known about revoked certificates is: for the summary, the status and the metrics."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.x509.ocsp import OCSPCertStatus

from ztproxy.identity.revocation.answers import Answers
from ztproxy.identity.revocation.authority import Authority
from ztproxy.identity.revocation.crl import RevocationList
from ztproxy.identity.revocation.pointers import prefix_of
from ztproxy.identity.revocation.published_list import PublishedList


class Known(msgspec.Struct, frozen=True):
    """What one source knows. Times are seconds since 1970."""

    authority: str
    source: str
    """A file's name, a URL as configured, or what URLs that certificates name begin with: all of them count as one."""
    kind: Literal["list", "delta", "ocsp"]
    revoked: int
    """Serial numbers in lists; certificates about which a responder said so."""
    made_at: float | None
    """When the list says that it was made, or a responder answered last; None: never had."""
    ends_at: float | None
    """Until when the list counts; None where it does not say, or for answers, each of which has its own end."""
    failures: int = 0
    """Attempts in a row that failed."""
    last_failure: str = ""
    understood: bool = True
    """Whether absence from the list means anything."""


def known(authority: Authority) -> Iterator[Known]:
    """What each of an authority's sources knows."""
    for one in authority.from_files:
        yield _of_list(one, Path(one.source).name)
    followed: dict[str, Known] = {}
    for url, published in authority.published.items():
        if url in authority.following.lists:
            yield _of_published(published, authority.name, url)
            continue
        prefix = prefix_of(url, authority.following.prefixes) or url
        found = _of_published(published, authority.name, f"{prefix}…")
        followed[prefix] = _worse(followed[prefix], found) if prefix in followed else found
    yield from followed.values()
    if authority.answers is not None:
        yield _of_answers(authority.answers, authority.name)


def summary(authorities: Iterable[Authority], now: float) -> Iterator[str]:
    """A line for each source; `now` in seconds since 1970."""
    for one in (one for authority in authorities for one in known(authority)):
        if one.kind == "ocsp":
            yield f"revocation of {one.authority}: OCSP, asked when its certificates come"
            continue
        state = (
            "not fetched yet" if one.made_at is None else f"made {_age(now - one.made_at)} ago, {one.revoked} revoked"
        )
        if not one.understood:
            state += "; of a kind that leaves open whether a certificate is good"
        if one.made_at is not None and not one.made_at <= now < (one.ends_at or 0.0):
            state += "; not current"
        yield f"revocation list of {one.authority} from {one.source}: {state}"


def _of_list(one: RevocationList, source: str, failures: int = 0, last_failure: str = "") -> Known:
    kind: Literal["list", "delta"] = "list"
    if one.base is not None:
        kind, source = "delta", f"{source} (delta)"
    ends_at = None if one.next_update == float("-inf") else one.next_update
    return Known(
        one.name, source, kind, len(one.revoked), one.this_update, ends_at, failures, last_failure, one.understood
    )


def _of_published(published: PublishedList, name: str, source: str) -> Known:
    backoff = published.backoff
    if published.known is None:
        return Known(name, source, "list", 0, None, None, backoff.failures, backoff.last_failure)
    return _of_list(published.known.one, source, backoff.failures, backoff.last_failure)


def _of_answers(answers: Answers, name: str) -> Known:
    revoked = sum(one.status is OCSPCertStatus.REVOKED for one in answers.known())
    backoff = answers.backoff
    return Known(name, "OCSP", "ocsp", revoked, answers.answered_at, None, backoff.failures, backoff.last_failure)


def _worse(a: Known, b: Known) -> Known:
    """Two lists told as one: of what can be good or bad the worst."""
    worse = max(a, b, key=lambda one: one.failures)
    return msgspec.structs.replace(
        worse,
        revoked=a.revoked + b.revoked,
        made_at=None if a.made_at is None or b.made_at is None else min(a.made_at, b.made_at),
        ends_at=None if a.ends_at is None or b.ends_at is None else min(a.ends_at, b.ends_at),
        understood=a.understood and b.understood,
    )


def _age(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days" if abs(seconds) >= 86400 else f"{seconds / 3600:.1f} hours"  # noqa: PLR2004
