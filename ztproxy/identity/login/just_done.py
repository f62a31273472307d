"""That a browser logged in a moment ago: whoever is sent to log in again at once would be sent in circles.

It happens where the issuer says that it did what was asked and did not, or the session does not count: a person sees a
page then, and nothing goes on by itself.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from ztproxy.config.believed import OWN_COOKIES
from ztproxy.model import Fields, StepUp
from ztproxy.store.ring import Ring

LASTS = 15.0
"""Seconds."""
MOST = 2
"""Logins in a row: a session may be ended just after it began, and its owner log in again."""
_COOKIE = OWN_COOKIES + b"-done"
_PURPOSE = "login done"
_ATTRIBUTES = b"; Path=/; Secure; HttpOnly; SameSite=Lax"
_LARGEST = 4000


class Done(msgspec.Struct, frozen=True):
    """A login that a browser has behind it."""

    issuer: str
    wanted: StepUp
    at: float
    """Seconds since 1970."""
    times: int = 1
    """So many in a row, each a moment after the one before."""


def note(ring: Ring, host: str, done: Done) -> Fields:
    """The field that lets the browser know it."""
    value = urlsafe_b64encode(ring.seal(_PURPOSE, host.encode(), msgspec.json.encode(done))).rstrip(b"=")
    if len(_COOKIE) + len(value) > _LARGEST:
        return ()
    return ((b"set-cookie", _COOKIE + b"=" + value + _ATTRIBUTES + b"; Max-Age=%d" % LASTS),)


def forget() -> Fields:
    """The field that takes it away: what comes next is no circle."""
    return ((b"set-cookie", _COOKIE + b"=" + _ATTRIBUTES + b"; Max-Age=0"),)


def times(ring: Ring, host: str, own_cookies: Fields, *, issuer: str, wanted: StepUp, now: float) -> int:
    """How many logins of this very kind the browser just had on this host, one after the other."""
    for name, value in own_cookies:
        done = _opened(ring, host, value) if name == _COOKIE else None
        if done is not None and done.issuer == issuer and done.wanted == wanted and 0 <= now - done.at < LASTS:
            return done.times
    return 0


def _opened(ring: Ring, host: str, value: bytes) -> Done | None:
    try:
        plain = ring.open(_PURPOSE, host.encode(), urlsafe_b64decode(value + b"=" * (-len(value) % 4)))
        return None if plain is None else msgspec.json.decode(plain, type=Done)
    except ValueError:
        return None
