"""Our own cookies are taken out of a request's Cookie fields: no stage, policy or upstream sees them there."""

from ztproxy.config.believed import OWN_COOKIES, is_own_cookie
from ztproxy.model import Fields

_BEGINNING = OWN_COOKIES.lower()


def taken_out(value: bytes) -> tuple[bytes, Fields]:
    """What is left of a Cookie field's value, empty when nothing is, and the names and values of those that are ours.

    Pairs are split at semicolons alone (RFC 6265 §4.2.1); the others keep their order and spelling.
    """
    if _BEGINNING not in value.lower():
        return value, ()
    left: list[bytes] = []
    ours: list[tuple[bytes, bytes]] = []
    for pair in value.split(b";"):
        name, _, found = pair.partition(b"=")
        name = name.strip(b" \t")
        if is_own_cookie(name):
            ours.append((name, found.strip(b" \t")))
        elif pair.strip(b" \t"):
            left.append(pair.strip(b" \t"))
    return b"; ".join(left), tuple(ours)
