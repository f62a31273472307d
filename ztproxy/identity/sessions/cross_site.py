"""Cross-site request forgery: what a session's cookie alone may do, and for whose pages.

A browser sends its cookie whoever caused the request. So what could change something, and a WebSocket, counts only when
the browser says that a page of this very origin caused it, or one that the route's `cors` names with `credentials`.
"""

from collections.abc import Callable

from ztproxy.config.cross_origin import Cors, readers
from ztproxy.identity.sessions.navigation import may_change, of_own_page, values
from ztproxy.model import Arrived, Reason, Refusal

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
