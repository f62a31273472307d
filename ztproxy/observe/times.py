"""Times as logs write them: RFC 3339 in UTC."""

import time


class Clockface:
    """Writes seconds since 1970 with milliseconds; the part down to the second is kept for as long as it lasts."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, wall: float) -> str:
        """`2026-01-31T23:59:59.123Z`, cut, not rounded: never a moment yet to come."""
        second = int(wall)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second = second
        return f"{self._text}{int((wall - second) * 1000):03d}Z"
