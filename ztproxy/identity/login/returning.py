"""Where a browser goes after a login: a page of the very host that it was on, and nowhere else.

An address is what a canonical request asked for, never what a stranger could write into a link. It is checked all the
same wherever it comes from, and only ever sent behind scheme and host (open redirects: two slashes, a backslash,
`https:evil`, control characters).
"""

import re

from ztproxy.model import Arrived

MAXIMUM = 1536
"""Characters: it travels in a cookie."""
START = "/"
_RESERVED = "/.well-known/ztproxy/"
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A slash, and then no second one, no backslash anywhere, nothing unprintable."""


def asked_for(arrived: Arrived) -> str:
    """The page that a request is for; its path alone where the whole is too long to be kept."""
    whole = f"{arrived.path}?{arrived.query}" if arrived.has_query else arrived.path
    return whole if is_local(whole) else local(arrived.path)


def local(address: str) -> str:
    """The address if it is one of this host, else the host's first page."""
    return address if is_local(address) else START


def is_local(address: str) -> bool:
    """Whether an address can only be read as a path of the host that it is on, and is not one of our own."""
    return len(address) <= MAXIMUM and bool(_LOCAL.fullmatch(address)) and not address.startswith(_RESERVED)
