"""Which requests are a person's who sees the answer as a page: these alone are sent to log in.

A script, a frame, a WebSocket or a command-line client can do nothing with an issuer's login page, and must never be
led there: they get a 401. Browsers say what they ask for in fetch metadata (W3C Fetch Metadata Request Headers).
"""

import hmac

from ztproxy.model import Arrived
from ztproxy.page import prefers_html

_READS = frozenset({"GET", "HEAD"})


def navigates(arrived: Arrived) -> bool:
    """Whether a person follows a link or types an address, in a window of its own."""
    return arrived.method in _READS and _shows_a_page(arrived)


def submits(arrived: Arrived) -> bool:
    """Whether a person sends a form, in a window of its own, from a page of this very host."""
    return arrived.method == "POST" and _shows_a_page(arrived) and from_this_host(arrived)


def origin_of(arrived: Arrived) -> str:
    """The origin that a request was sent to (RFC 6454 §6.2): the port where it is not the scheme's."""
    return f"{arrived.scheme}://{arrived.authority.decode('ascii')}"


def from_this_host(arrived: Arrived) -> bool:
    """Whether a page of this very host sent a request, and no other can have: by exact Origin, and Sec-Fetch-Site."""
    origins = values(arrived, b"origin")
    if len(origins) != 1 or not hmac.compare_digest(origins[0], origin_of(arrived).encode("ascii")):
        return False
    return values(arrived, b"sec-fetch-site") in ([], [b"same-origin"])


def values(arrived: Arrived, name: bytes) -> list[bytes]:
    """All values of a field."""
    return [value for field, value in arrived.fields if field == name]


def _shows_a_page(arrived: Arrived) -> bool:
    if arrived.upgrade is not None or values(arrived, b"x-requested-with"):
        return False
    if values(arrived, b"sec-purpose") or values(arrived, b"purpose"):
        return False  # fetched ahead of a navigation that may never come
    mode, destination = values(arrived, b"sec-fetch-mode"), values(arrived, b"sec-fetch-dest")
    if (mode or destination) and (mode != [b"navigate"] or destination != [b"document"]):
        return False
    return prefers_html(values(arrived, b"accept"))
