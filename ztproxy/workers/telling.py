"""What the operator is told on standard error."""

import contextlib
import sys


def say(line: str) -> None:
    """Tell the operator; where nobody listens any more, what is to be done is done all the same."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the program's own voice
