"""The session's cookie: one name, one form of value, and nothing that is read as something else."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from enum import Enum

from ztproxy.config.believed import OWN_COOKIES
from ztproxy.model import Fields

NAME = OWN_COOKIES
IDENTIFIER = 32
"""Octets: 256 bits by the system's random generator."""
_LENGTH = 43
"""Characters of such an identifier in base64url without padding."""
_FOLDED = NAME.lower()
_ATTRIBUTES = b"; Path=/; Secure; HttpOnly; SameSite=Lax"


class Unreadable(Enum):
    """Several cookies of the name, one in another case of letters, or a value that we did not make."""

    COOKIE = "cookie"


def presented(own_cookies: Fields) -> bytes | Unreadable | None:
    """The one value that a browser presents, as long as ours are; None where it presents none."""
    found: bytes | None = None
    for name, value in own_cookies:
        if name != NAME:
            if name.lower() == _FOLDED:
                return Unreadable.COOKIE
        elif found is not None or len(value) != _LENGTH:
            return Unreadable.COOKIE
        else:
            found = value
    return found


def value_of(own_cookies: Fields) -> bytes | Unreadable | None:
    """The identifier that a browser presents, decoded; None where it presents none."""
    value = presented(own_cookies)
    if not isinstance(value, bytes):
        return value
    try:
        identifier = urlsafe_b64decode(value + b"=")
    except (ValueError, binascii.Error):
        return Unreadable.COOKIE
    return identifier if written(identifier) == value else Unreadable.COOKIE


def written(identifier: bytes) -> bytes:
    """An identifier as the cookie's value."""
    return urlsafe_b64encode(identifier).rstrip(b"=")


def setting(identifier: bytes) -> Fields:
    """The field that gives a browser its session's cookie; it is the browser's until it is closed."""
    return ((b"set-cookie", NAME + b"=" + written(identifier) + _ATTRIBUTES),)


def clearing() -> Fields:
    """The field that takes it away."""
    return ((b"set-cookie", NAME + b"=" + _ATTRIBUTES + b"; Max-Age=0"),)
