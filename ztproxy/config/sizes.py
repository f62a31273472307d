"""How sizes are written in the configuration: octets, or multiples of 1024."""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def parse_size(value: object) -> int:
    """Octets from `500B`, `32KiB`, `10MiB`, `2GiB`, or a whole number of octets."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,15})(B|KiB|MiB|GiB)", value)):
        return int(found[1]) * _UNITS[found[2]]
    raise ValueError("a size is a whole number and a unit: 500B, 32KiB, 10MiB, 2GiB")


def write_size(octets: int) -> str:
    """A size as it is written in the configuration."""
    for unit in ("GiB", "MiB", "KiB"):
        if octets and octets % _UNITS[unit] == 0:
            return f"{octets // _UNITS[unit]}{unit}"
    return f"{octets}B"


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(write_size),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^\d{1,15}(B|KiB|MiB|GiB)$", "minimum": 0}),
]
