"""How long a request's body is, what its connection options say, and whether it asks to change protocol.

One reading only (RFC 9112 §6.3, §11.2): Content-Length once and in plain digits, or exactly `chunked`, never both.
"""

import re
from collections.abc import Sequence

from ztproxy.edge.ill_formed import ambiguous, malformed
from ztproxy.model import Refusal

_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_OPTION = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PROTOCOL = re.compile(rb"[A-Za-z0-9!#$&'*+.^_`|~-]{1,64}(?:/[A-Za-z0-9.]{1,16})?")
_EXPECTATION_FAILED = 417


def read_length(lengths: Sequence[bytes], codings: Sequence[bytes], version: str) -> int | Refusal | None:
    """Octets of content, None when chunked."""
    if codings:
        if version != "HTTP/1.1":
            return ambiguous("Transfer-Encoding in HTTP/1.0")
        if lengths:
            return ambiguous("Content-Length and Transfer-Encoding together")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            return ambiguous("a Transfer-Encoding other than exactly chunked")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1:
        return ambiguous("several Content-Length fields")
    if not _LENGTH.fullmatch(lengths[0]):
        return ambiguous("a Content-Length that is no plain number")
    return int(lengths[0])


def read_options(values: Sequence[bytes]) -> frozenset[bytes] | Refusal:
    """Connection's options in lower case (RFC 9110 §7.6.1)."""
    options = set()
    for part in b",".join(values).split(b","):
        option = part.strip(b" \t")
        if option and not _OPTION.fullmatch(option):
            return malformed("Connection holds something that is no field name")
        options.add(option.lower())
    return frozenset(options)


def read_expectation(values: Sequence[bytes], version: str) -> bool | Refusal:
    """Whether the client waits for 100 before it sends its body (RFC 9110 §10.1.1)."""
    if not values or version != "HTTP/1.1":
        return False
    if len(values) == 1 and values[0].lower() == b"100-continue":
        return True
    return malformed("an Expect other than 100-continue", _EXPECTATION_FAILED)


def read_upgrade(values: Sequence[bytes], options: frozenset[bytes]) -> str | Refusal | None:
    """The one protocol that is asked for (RFC 9110 §7.8), in lower case; whether it may be, routes say."""
    if not values:
        return None
    if len(values) == 1 and b"upgrade" in options and _PROTOCOL.fullmatch(values[0]):
        return values[0].decode("ascii").lower()
    return malformed("an Upgrade that is not to exactly one protocol")
