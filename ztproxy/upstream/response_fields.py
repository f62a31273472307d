"""The fields of an upstream's response: what they say about framing and the connection, and which pass on."""

import re
from enum import Enum, auto

import msgspec

_REMEMBERED_NAMES = 4096
_LARGEST_LENGTH = 1 << 62


class Head(msgspec.Struct):
    """What is left of a response's head once framing is understood."""

    fields: list[tuple[bytes, bytes]]
    """End-to-end fields, names in lower case."""
    length: int | None = None
    """Content-Length as declared."""
    chunked: bool = False
    close: bool = False
    """The server will close the connection."""
    switches: bool = False
    """The fields agree to a switch to WebSocket (RFC 6455 §4.2.2)."""
    shareable: bool = True
    """False once the server asked for NTLM or Negotiate: such a connection belongs to one client."""
    keep: float | None = None
    """Seconds that the server keeps an idle connection, where it says so."""


class Malformed(ValueError):  # noqa: N818 - what it says of a response, raised and caught within this package
    """A response whose framing cannot be trusted."""


class _Kind(Enum):
    PASS = auto()
    DROP = auto()
    LENGTH = auto()
    CODING = auto()
    CONNECTION = auto()
    UPGRADE = auto()
    KEEP_ALIVE = auto()
    CHALLENGE = auto()


_KINDS = {
    b"connection": _Kind.CONNECTION,
    b"content-length": _Kind.LENGTH,
    b"keep-alive": _Kind.KEEP_ALIVE,
    b"proxy-authenticate": _Kind.DROP,
    b"proxy-authentication-info": _Kind.DROP,
    b"proxy-connection": _Kind.DROP,
    b"te": _Kind.DROP,
    b"trailer": _Kind.DROP,  # trailers are dropped
    b"transfer-encoding": _Kind.CODING,
    b"upgrade": _Kind.UPGRADE,
    b"www-authenticate": _Kind.CHALLENGE,
    b"x-request-id": _Kind.DROP,  # ours
}

_seen: dict[bytes, tuple[bytes, bool, _Kind]] = {}


def _classify(name: bytes) -> tuple[bytes, bool, _Kind]:
    """A name in lower case, whether it simply passes, and its kind; remembered, as upstreams repeat their names."""
    lower = name.lower()
    kind = _KINDS.get(lower, _Kind.DROP if lower.startswith(b"x-ztproxy-") else _Kind.PASS)
    known = (lower, kind is _Kind.PASS, kind)
    if len(_seen) < _REMEMBERED_NAMES and len(name) <= 64:  # noqa: PLR2004 - longer ones are not names worth keeping
        _seen[name] = known
    return known


def read(received: list[tuple[bytes, bytes]]) -> Head:
    """Understand a head's fields.

    Raises:
        Malformed: several or malformed Content-Length, any transfer coding but one `chunked`, or both (RFC 9112 §6.3).
    """
    passed: list[tuple[bytes, bytes]] = []
    head = Head(passed)
    named: list[bytes] = []
    seen = _seen
    for name, value in received:
        lower, passes, kind = seen.get(name) or _classify(name)
        if passes:
            passed.append((lower, value.strip(b" \t")))
        elif kind is not _Kind.DROP:
            _understand(head, named, kind, value.strip(b" \t"))
            if kind is _Kind.CHALLENGE:
                passed.append((lower, value.strip(b" \t")))
    if head.chunked and head.length is not None:
        raise Malformed("Content-Length and Transfer-Encoding together")
    if named:
        head.fields = [field for field in passed if field[0] not in named]
        head.switches = head.switches and b"upgrade" in named
    else:
        head.switches = False
    return head


def _understand(head: Head, named: list[bytes], kind: _Kind, value: bytes) -> None:
    match kind:
        case _Kind.LENGTH:
            if head.length is not None:
                raise Malformed("several Content-Length fields")
            if not re.fullmatch(rb"[0-9]{1,19}", value) or int(value) > _LARGEST_LENGTH:
                raise Malformed("a malformed Content-Length")
            head.length = int(value)
        case _Kind.CODING:
            if head.chunked or value.lower() != b"chunked":
                raise Malformed("a transfer coding other than chunked")
            head.chunked = True
        case _Kind.CONNECTION:
            tokens = [token.strip(b" \t") for token in value.lower().split(b",")]
            head.close = head.close or b"close" in tokens
            named += tokens
        case _Kind.UPGRADE:
            head.switches = value.lower() == b"websocket"
        case _Kind.KEEP_ALIVE:
            if found := re.search(rb"(?i)\btimeout=(\d{1,6})\b", value):
                head.keep = float(found[1])
        case _Kind.CHALLENGE:
            if re.search(rb"(?i)(?:^|,)[ \t]*(?:ntlm|negotiate)(?:[ \t,]|$)", value):
                head.shareable = False
        case _Kind.PASS | _Kind.DROP:
            pass
