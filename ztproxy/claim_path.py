"""One claim among those of a token, by how the configuration names it."""

from collections.abc import Mapping, Sequence
from typing import Any


def claim_named(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of exactly this name, else that at the path which the name's dots make; None where there is none.

    Names that are URLs have dots of their own, so the whole name comes first.
    """
    value = claims.get(name)
    if value is None and "." in name:
        return claim_at(claims, name.split("."))
    return value


def claim_at(claims: Mapping[str, Any], path: Sequence[str]) -> Any:
    """What stands at the end of a path of members; None where the path leads nowhere."""
    value: Any = claims
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
