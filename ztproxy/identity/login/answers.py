"""The answers of a login that are no page: redirects, and refusals that a person can do something about."""

from ztproxy.identity.login.navigation import origin_of
from ztproxy.model import Answer, Arrived, Fields, Reason, Refusal
from ztproxy.page import COMMON

_SEE_OTHER = 303
AGAIN = ((b"retry-after", b"10"),)


def redirect(location: str, fields: Fields = ()) -> Answer:
    """To go on somewhere else, by GET (RFC 9110 §15.4.4)."""
    return Answer(_SEE_OTHER, ((b"location", location.encode("ascii")), *COMMON, *fields), b"")


def home(arrived: Arrived, path: str) -> str:
    """A path of the host that was asked, as a whole URL: no path can be read as another host's then."""
    return origin_of(arrived) + path


def not_here(arrived: Arrived) -> Refusal:
    """To what can do nothing with a login page."""
    detail = f"Log in by opening {origin_of(arrived)} in a browser."
    return Refusal(Reason.LOGIN_REQUIRED, detail)


def failed(detail: str, cause: str, *, retry: str, status: int = 0, fields: Fields = ()) -> Refusal:
    """A login that came to nothing.

    Args:
        detail: what the person can know and do.
        cause: for the operator's log.
        retry: the page to try again from.
        status: in place of 403.
        fields: that go along, to let go of what the browser kept.
    """
    return Refusal(Reason.LOGIN_FAILED, detail, cause, fields=fields, status_code=status, retry=retry)


def away(cause: str, *, retry: str, fields: Fields = ()) -> Refusal:
    """The issuer cannot be asked: nobody new can log in now, and whoever is logged in does not notice."""
    detail = "The identity provider cannot be reached, so nobody can log in just now. Please try again in a while."
    return Refusal(Reason.ISSUER_UNAVAILABLE, detail, cause, fields=(*AGAIN, *fields), retry=retry)
