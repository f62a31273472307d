"""What a series is: its name, its labels, and how the figures of several workers become one.

Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/): a prefix, base units, `_total` for
counters. A label's values come from the configuration or from a list in the program, never from a request.
"""

from typing import Literal

import msgspec

NONE = "-"
"""The value of a label where there is none, as a route for what belongs to no route; no name begins with it."""

Kind = Literal["counter", "gauge", "histogram"]
Over = Literal["sum", "max", "min"]


class Series(msgspec.Struct, frozen=True):
    """One series' family."""

    name: str
    kind: Kind
    help: str
    """What it counts or says, as Prometheus shows it and docs/observability.md lists it."""
    labels: tuple[str, ...] = ()
    over: Over = "sum"
    """What the figures of several workers with the same labels become; counters and histograms are always added up."""
    bounds: tuple[float, ...] = ()
    """Of a histogram: the upper bounds of its buckets, the last, infinite one left out."""


Reading = tuple[Series, tuple[str, ...], float]
"""A counter's or gauge's value: of which series, with which labels' values."""


def counter(name: str, text: str, *labels: str) -> Series:
    """A series that only grows; its name ends in `_total`."""
    return Series(name, "counter", text, labels)


def gauge(name: str, text: str, *labels: str, over: Over = "sum") -> Series:
    """A series that comes and goes with its worker."""
    return Series(name, "gauge", text, labels, over)


def histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Series:
    """A series of counts by size, which only grow."""
    return Series(name, "histogram", text, labels, bounds=bounds)
