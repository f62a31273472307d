"""A login under way: what the browser keeps, sealed, in a cookie of its own, until it comes back from the issuer.

Nothing is kept on the server, so that sending somebody to log in costs nothing, however often it is asked for. The
cookie binds the login to the browser that began it: an answer of the issuer counts only together with it.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from ztproxy.config.believed import OWN_COOKIES
from ztproxy.model import Fields, StepUp
from ztproxy.store.ring import Ring

LIFETIME = 600.0
"""Seconds that a person has to log in."""
MOST = 4
"""Logins under way in one browser, in tabs side by side; the oldest is dropped for one more."""
COOKIE = OWN_COOKIES + b"-login-"
"""What comes behind it is the beginning of the state: each login has a cookie of its own."""
LARGEST = 4000
"""Octets of a cookie's name and value: browsers drop larger ones (RFC 6265 §6.1)."""
_TAG = 12
_PURPOSE = "login transaction"
_ATTRIBUTES = b"; Path=/; Secure; HttpOnly; SameSite=Lax"


class For(msgspec.Struct, frozen=True):
    """For whom the central login host logs somebody in: a login that waits at an application's host."""

    state: str
    """Of that login."""
    host: str
    """Name and port, as in URLs."""
    route: str


class Transaction(msgspec.Struct, frozen=True):
    """One login, from the page that was asked for to the session. Times are seconds since 1970."""

    state: str
    """256 random bits, base64url."""
    nonce: str
    verifier: str
    """Of PKCE (RFC 7636 §4.1)."""
    issuer: str
    client_id: str
    route: str
    host: str
    """Name and port, as in URLs; the cookie counts on it alone."""
    returns: str
    """Path and query."""
    started_at: float
    wanted: StepUp = StepUp()
    """What the login has to be like."""
    kept: str | None = None
    """What a form held that the login interrupted, where it was kept; base64url."""
    waits_for: For | None = None
    """On the central login host: who waits there for this login."""


def begun(
    *,
    issuer: str,
    client_id: str,
    route: str,
    host: str,
    returns: str,
    now: float,
    wanted: StepUp,
    kept: str | None = None,
    waits_for: For | None = None,
) -> Transaction:
    """A new one; its three secrets are random, 256 bits each."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Transaction(state, nonce, verifier, issuer, client_id, route, host, returns, now, wanted, kept, waits_for)


def remembered(ring: Ring, transaction: Transaction, own_cookies: Fields, now: float) -> Fields | None:
    """The fields that let the browser keep it, beside the youngest of those that it has; None: it is too large."""
    sealed = ring.seal(_PURPOSE, transaction.host.encode(), msgspec.json.encode(transaction))
    value = urlsafe_b64encode(sealed).rstrip(b"=")
    name = _name(transaction.state)
    if len(name) + len(value) > LARGEST:
        return None
    others = sorted(_held(ring, transaction.host, own_cookies, now), reverse=True)
    dropped = [other for _, other in others[MOST - 1 :]]
    dropped += {other for other, _ in own_cookies if other.startswith(COOKIE)} - {other for _, other in others}
    setting = (b"set-cookie", name + b"=" + value + _ATTRIBUTES + b"; Max-Age=%d" % LIFETIME)
    return (setting, *(_clearing(other) for other in dropped if other != name))


def recalled(ring: Ring, state: str, host: str, own_cookies: Fields, now: float) -> Transaction | None:
    """The login that a state belongs to, if this browser began it on this host and not too long ago."""
    name = _name(state)
    found = [value for other, value in own_cookies if other == name]
    transaction = _opened(ring, host, found[0]) if len(found) == 1 else None
    if transaction is None or not hmac.compare_digest(transaction.state.encode(), state.encode()):
        return None
    return transaction if 0 <= now - transaction.started_at < LIFETIME else None


def forgotten(state: str) -> Fields:
    """The field that takes a login's cookie from the browser."""
    return (_clearing(_name(state)),)


def _held(ring: Ring, host: str, own_cookies: Fields, now: float) -> list[tuple[float, bytes]]:
    """When the logins under way in this browser began, and their cookies' names."""
    found = []
    for name, value in own_cookies:
        if name.startswith(COOKIE):
            transaction = _opened(ring, host, value)
            if transaction is not None and _name(transaction.state) == name and now - transaction.started_at < LIFETIME:
                found.append((transaction.started_at, name))
    return found


def _opened(ring: Ring, host: str, value: bytes) -> Transaction | None:
    if len(value) > LARGEST:
        return None
    try:
        sealed = urlsafe_b64decode(value + b"=" * (-len(value) % 4))
        plain = ring.open(_PURPOSE, host.encode(), sealed)
        return None if plain is None else msgspec.json.decode(plain, type=Transaction)
    except ValueError:
        return None


def _name(state: str) -> bytes:
    """The beginning of the state as it is spelt: no secret, and only ever compared whole."""
    return COOKIE + state[:_TAG].encode("ascii", "replace")


def _clearing(name: bytes) -> tuple[bytes, bytes]:
    return (b"set-cookie", name + b"=" + _ATTRIBUTES + b"; Max-Age=0")
