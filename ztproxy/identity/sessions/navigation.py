"""Whether a person waits for a page, and whether a page of this very origin asks: what browsers say of a request.

Scripts of pages can set none of these fields (Fetch Metadata Request Headers §2, the Fetch standard §3.2).
"""

from ztproxy.model import Arrived

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 §9.2.1); TRACE never gets this far."""
_PAGES = frozenset({"GET", "HEAD"})


def values(arrived: Arrived, name: bytes) -> list[bytes]:
    """The values of a field."""
    return [value for field, value in arrived.fields if field == name]


def is_navigation(arrived: Arrived) -> bool:
    """Whether a browser asks for a page to show, so that a redirect or a page of ours is understood."""
    if arrived.method not in _PAGES or arrived.upgrade is not None or values(arrived, b"x-requested-with"):
        return False
    if modes := values(arrived, b"sec-fetch-mode"):
        return modes == [b"navigate"]
    return any(b"text/html" in value.lower() for value in values(arrived, b"accept"))


def may_change(arrived: Arrived) -> bool:
    """Whether a request could change something, or opens a way to: another site's page must not cause it."""
    return arrived.method not in SAFE or arrived.upgrade is not None


def of_own_page(arrived: Arrived) -> bool:
    """Whether a page of exactly this origin caused a request, as its browser says.

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
        return origins[0] == arrived.scheme.encode() + b"://" + arrived.authority
    return bool(sites)
