"""The fields of an upstream's response: what they say about framing and the connection, and which pass on."""

import re

from ztproxy.config.believed import is_own_cookie

_REMEMBERED_NAMES = 4096
_LONGEST_NAME = 64
_LONGEST_LENGTH = 18


class Head:
    """What is left of a response's head once framing is understood."""

    __slots__ = ("chunked", "close", "fields", "keep", "length", "shareable", "switches_to")

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self.fields = fields
        """End-to-end fields, names in lower case."""
        self.length: int | None = None
        """Content-Length as declared."""
        self.chunked = False
        self.close = False
        """The server will close the connection."""
        self.switches_to: bytes | None = None
        """The one protocol, in lower case, that the fields agree to switch to (RFC 9110 §7.8)."""
        self.shareable = True
        """False once the server asked for NTLM or Negotiate: such a connection belongs to one client."""
        self.keep: float | None = None
        """Seconds that the server keeps an idle connection, where it says so."""

    def copy(self) -> "Head":
        """The same, with a list of fields of its own."""
        made = Head(list(self.fields))
        made.length = self.length
        made.chunked = self.chunked
        made.close = self.close
        made.switches_to = self.switches_to
        made.shareable = self.shareable
        made.keep = self.keep
        return made


class Malformed(ValueError):  # noqa: N818 - what it says of a response, raised and caught within this package
    """A response whose framing cannot be trusted."""


PASS = 0
"""The kind of a field that simply passes; the others are understood here."""
_DROP, _LENGTH, _CODING, _CONNECTION, _UPGRADE, _KEEP_ALIVE, _CHALLENGE, _COOKIE = range(1, 9)
_KINDS = {
    b"connection": _CONNECTION,
    b"dpop-nonce": _DROP,  # ours: proofs are made for us
    b"content-length": _LENGTH,
    b"keep-alive": _KEEP_ALIVE,
    b"proxy-authenticate": _DROP,
    b"proxy-authentication-info": _DROP,
    b"proxy-connection": _DROP,
    b"set-cookie": _COOKIE,
    b"te": _DROP,
    b"trailer": _DROP,  # trailers are dropped
    b"transfer-encoding": _CODING,
    b"upgrade": _UPGRADE,
    b"www-authenticate": _CHALLENGE,
    b"x-request-id": _DROP,  # ours
}


class Names(dict[bytes, tuple[bytes, int]]):
    """By a name as received: the name in lower case and its kind; bounded, as upstreams repeat their names."""

    def __missing__(self, name: bytes) -> tuple[bytes, int]:
        lower = name.lower()
        kind = _KINDS.get(lower, _DROP if lower.startswith(b"x-ztproxy-") else PASS)
        if len(self) < _REMEMBERED_NAMES and len(name) <= _LONGEST_NAME:
            self[name] = (lower, kind)
        return (lower, kind)


def read(passed: list[tuple[bytes, bytes]], understood: list[tuple[int, bytes]]) -> Head:
    """Understand a head.

    Args:
        passed: the fields that simply pass, in their order.
        understood: kinds and values of the others.

    Raises:
        Malformed: several or malformed Content-Length, any transfer coding but one `chunked`, or both (RFC 9112 §6.3).
    """
    head = Head(passed)
    named: list[bytes] = []
    for kind, value in understood:
        _understand(head, named, kind, value.strip(b" \t"))
    if head.chunked and head.length is not None:
        raise Malformed("Content-Length and Transfer-Encoding together")
    if named:
        head.fields = [field for field in passed if field[0] not in named]
    if b"upgrade" in named:
        agreed = [value.strip(b" \t").lower() for kind, value in understood if kind == _UPGRADE]
        head.switches_to = agreed[0] if len(agreed) == 1 else None
    return head


def _understand(head: Head, named: list[bytes], kind: int, value: bytes) -> None:
    if kind == _LENGTH:
        head.length = _length(head, value)
    elif kind == _CONNECTION:
        if value != b"keep-alive":
            tokens = [token.strip(b" \t") for token in value.lower().split(b",")]
            head.close = head.close or b"close" in tokens
            named += tokens
    elif kind == _CODING:
        if head.chunked or value.lower() != b"chunked":
            raise Malformed("a transfer coding other than chunked")
        head.chunked = True
    elif kind == _KEEP_ALIVE:
        if found := re.search(rb"(?i)\btimeout=(\d{1,6})\b", value):
            head.keep = float(found[1])
    elif kind == _COOKIE:
        if not _sets_ours(value):
            head.fields.append((b"set-cookie", value))
    elif kind == _CHALLENGE:
        head.fields.append((b"www-authenticate", value))
        if re.search(rb"(?i)(?:^|,)[ \t]*(?:ntlm|negotiate)(?:[ \t,]|$)", value):
            head.shareable = False


def _length(head: Head, value: bytes) -> int:
    if head.length is not None:
        raise Malformed("several Content-Length fields")
    if not value.isdigit() or len(value) > _LONGEST_LENGTH:
        raise Malformed("a malformed Content-Length")
    return int(value)


def _sets_ours(value: bytes) -> bool:
    """Whether a Set-Cookie names a cookie of ours.

    Browsers have kept `=NAME=x` as a cookie without a name, and sent it back as `NAME=x`.
    """
    return is_own_cookie(value.partition(b";")[0].lstrip(b" \t=").partition(b"=")[0].rstrip(b" \t"))


def media_type(head: Head) -> bytes:
    """What the content is, in lower case and without parameters; empty where that is not said once (RFC 9110 §8.3)."""
    said = [value for name, value in head.fields if name == b"content-type"]
    return said[0].partition(b";")[0].strip(b" \t").lower() if len(said) == 1 else b""
