"""Tables on a terminal."""

from collections.abc import Iterator, Sequence

Row = tuple[str, ...]


def aligned(rows: Sequence[Row]) -> Iterator[str]:
    """Lines whose columns are as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def plain(text: str) -> str:
    """Without what a terminal would take for a command."""
    return "".join(one if one.isprintable() else "?" for one in text)
