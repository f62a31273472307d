"""Cross-site request forgery: what a session's cookie alone may do, and for whose pages.

A browser sends its cookie whoever caused the request. So what could change something, and a WebSocket, counts only when
the browser says that a page of this very origin caused it, or one that the route's `cors` names with `credentials`.
"""

from collections.abc import Callable

from ztproxy.config.cross_origin import Cors, readers
from ztproxy.identity.login.navigation import origin_of, values
from ztproxy.model import Arrived, Reason, Refusal

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 §9.2.1); TRACE never gets this far."""
Crossing = Callable[[Arrived], Refusal | None]
"""Why a session does not stand for a request; None where it does."""


def crossing(cors: Cors | None) -> Crossing:
    """How a route meets what other pages cause."""
    named = _nobody if cors is None or cors.preflight == "forward" or not cors.credentials else _named(cors)

    def refusal(arrived: Arrived) -> Refusal | None:
        if not may_change(arrived) or of_own_page(arrived) or named(arrived):
            return None
        return Refusal(Reason.CROSS_SITE_REFUSED, cause=_said(arrived))

    return refusal


def may_change(arrived: Arrived) -> bool:
    """Whether a request could change something, or opens a way to: another site's page must not cause it."""
    return arrived.method not in SAFE or arrived.upgrade is not None


def of_own_page(arrived: Arrived) -> bool:
    """Whether a page of exactly this origin caused a request, as its browser says; scripts can set none of these.

    `Origin` is this host's and `Sec-Fetch-Site`, where it is sent, `same-origin`. A page with `Referrer-Policy:
    no-referrer` has `Origin: null`, which says nothing: then, as where there is no Origin, `Sec-Fetch-Site` alone
    decides. Neither of them is no.
    """
    origins, sites = values(arrived, b"origin"), values(arrived, b"sec-fetch-site")
    if len(origins) > 1 or len(sites) > 1:
        return False
    if sites and sites[0] != b"same-origin":
        return False
    if origins and origins[0] != b"null":
        return origins[0] == origin_of(arrived).encode("ascii")
    return bool(sites)


def _nobody(_: Arrived) -> bool:
    return False


def _named(cors: Cors) -> Callable[[Arrived], bool]:
    said = readers(cors)
    return lambda arrived: any(name == b"access-control-allow-credentials" for name, _ in said(arrived.fields))


def _said(arrived: Arrived) -> str:
    """What the browser said, for the log."""
    said = {name: values(arrived, name) for name in (b"origin", b"sec-fetch-site")}
    return ", ".join(
        f"{name.decode()}: {b', '.join(found)[:200].decode('latin-1')}" for name, found in said.items() if found
    ) or ("neither Origin nor Sec-Fetch-Site")
