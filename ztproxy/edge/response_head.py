"""A response's head in one piece: the status line, end-to-end fields, and what the edge itself sets."""

from collections.abc import Callable, Iterable
from http import HTTPStatus

from ztproxy.config.settings import Hsts

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
WITHOUT_CONTENT = frozenset({204, 304})
"""Statuses that never have content (RFC 9110 §15.3.5, §15.4.5)."""
_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}
SET_BY_US = frozenset(
    {b"connection", b"content-length", b"keep-alive", b"transfer-encoding", b"upgrade", b"x-request-id"}
)
"""Fields of a response that the edge sets; an upstream's are left out."""


def hsts_line(hsts: Hsts | None) -> bytes:
    """Strict-Transport-Security (RFC 6797 §6.1), or nothing."""
    if hsts is None:
        return b""
    value = f"max-age={int(hsts.max_age)}"
    value += "; includeSubDomains" if hsts.include_subdomains else ""
    value += "; preload" if hsts.preload else ""
    return f"Strict-Transport-Security: {value}\r\n".encode()


def render_head(
    status: int,
    fields: Iterable[tuple[bytes, bytes]],
    set_by_us: bytes,
    left_out: frozenset[bytes],
    date: Callable[[], bytes],
) -> bytes:
    """The head as octets.

    Args:
        status: 100 to 599.
        fields: end-to-end fields, names in lower case.
        set_by_us: complete lines: framing, request id, HSTS.
        left_out: names in `fields` that `set_by_us` stands for.
        date: a complete Date line, asked for where `fields` holds none.
    """
    parts = [_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
    dated = False
    for name, value in fields:
        if name not in left_out:
            parts += (name, b": ", value, b"\r\n")
            dated = dated or name == b"date"
    parts += (b"" if dated else date(), set_by_us, b"\r\n")
    return b"".join(parts)
