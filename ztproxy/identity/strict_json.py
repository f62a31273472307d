"""JSON and base64url with one reading only, bounded before anything is parsed (RFC 8259, RFC 4648 §5, RFC 7515 §2)."""

import base64
import binascii
import json
import re
from typing import Any, NoReturn

MAXIMUM_DEPTH = 16
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]*")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""One that never ends counts too, or looking for its end anew at each quote would take quadratic time."""
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
_DIGITS = 20
"""Of the longest integer that fits 64 bits, its sign included."""


class MalformedError(ValueError):
    """Not one clear value: the message says why and repeats nothing of the input."""


def decode_base64url(text: bytes) -> bytes:
    """The octets that `text` stands for; padding, white space and a second spelling of the same octets are refused."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise MalformedError("it is not base64url")
    try:
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        raise MalformedError("it is not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != text:
        raise MalformedError("it is not base64url in its one spelling")
    return data


def encode_base64url(data: bytes) -> str:
    """Octets as base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def read_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`: UTF-8, no member twice, no NaN, numbers within 64 bits, not nested deeper than 16.

    Depth is counted before parsing: a parser that recurses must never see what is too deep for it.
    """
    if _is_deeper(data, MAXIMUM_DEPTH):
        raise MalformedError("it is nested too deep")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_members,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_float,
        )
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except MalformedError:
        raise
    except UnicodeError:
        raise MalformedError("it is not UTF-8") from None
    except ValueError:
        raise MalformedError("it is not JSON") from None
    if not isinstance(value, dict):
        raise MalformedError("it is no JSON object")
    return value


def _is_deeper(data: bytes, maximum: int) -> bool:
    if data.count(b"{") + data.count(b"[") <= maximum:
        return False
    depth = 0
    for octet in _STRING.sub(b"", data):
        if octet in b"{[":
            depth += 1
            if depth > maximum:
                return True
        elif octet in b"}]":
            depth -= 1
    return False


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedError("a member stands in it twice")
    return members


def _no_constant(_: str) -> NoReturn:
    raise MalformedError("NaN and Infinity are not JSON")


def _integer(text: str) -> int:
    value = int(text) if len(text) <= _DIGITS else _LARGEST + 1
    if not _SMALLEST <= value <= _LARGEST:
        raise MalformedError("a number in it is too large")
    return value


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise MalformedError("a number in it is too large")
    return value
