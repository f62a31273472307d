"""JSON in plain ASCII on one line: nothing from a request can end a line, steer a terminal or break a reader.

Escaped are control characters (msgspec does that), DEL, and everything beyond ASCII: C1 controls, U+2028, text that
changes direction. Lone surrogates, which strict readers refuse a whole line for, become U+FFFD.
"""

import json
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()
_DELETE = 0x7F
"""As a number: octets are looked for in octets by way of an exception."""
LONGEST = 512
"""Characters of a name that is written into a log."""


def line(record: msgspec.Struct) -> bytes:
    """The record as one line of JSON, with its newline."""
    try:
        text = _encoder.encode(record)
    except UnicodeEncodeError:
        return _escaped(record)
    if text.isascii() and _DELETE not in text:
        return text + b"\n"
    return _escaped(record)


def _escaped(record: msgspec.Struct) -> bytes:
    text = json.dumps(whole(msgspec.to_builtins(record)), separators=(",", ":"))
    return text.replace("\x7f", "\\u007f").encode("ascii") + b"\n"


def whole(value: Any) -> Any:
    """The value with lone surrogates replaced, in names too."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {whole(key): whole(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [whole(each) for each in value]
    return value


def short(name: str | None) -> str | None:
    """A name at a bearable length; what was cut says so, lest it be taken for another."""
    if name is None or len(name) <= LONGEST:
        return name
    return f"{name[:LONGEST]}...({len(name)} characters)"
