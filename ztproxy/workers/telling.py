"""What the operator is told on standard error."""

import sys


def say(line: str) -> None:
    """Tell the operator."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the program's own voice
