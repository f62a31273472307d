"""Places in the input document, as a policy reads them: keys from the top down, `("request", "headers", "x-role")`.

A place stands for everything below it; `()` is the whole input.
"""

from collections.abc import Iterable
from typing import Any

Place = tuple[str, ...]
Places = frozenset[Place]
EVERYTHING: Places = frozenset({()})


def below(places: Places, key: str) -> Places:
    """What is looked at below a key; empty when nothing is, `EVERYTHING` when all is."""
    if () in places:
        return EVERYTHING
    return frozenset(place[1:] for place in places if place[0] == key)


def looked_at(places: Places, place: Iterable[str]) -> bool:
    """Whether a place, or anything at, above or below it, is looked at."""
    for key in place:
        places = below(places, key)
    return bool(places)


def names_below(places: Places, place: Iterable[str]) -> frozenset[str] | None:
    """Which members of the object at a place are looked at; None for all of them, known or not."""
    for key in place:
        places = below(places, key)
    return None if () in places else frozenset(found[0] for found in places)


def narrowed(value: Any, places: Places) -> Any:
    """A value without the members of objects that are not looked at; what is no object is left whole.

    The engine builds of its input exactly what this leaves (native/opa/engine/parse.go).
    """
    if () in places or not isinstance(value, dict):
        return value
    kept = {key: below(places, key) for key in value}
    return {key: narrowed(value[key], seen) for key, seen in kept.items() if seen}
