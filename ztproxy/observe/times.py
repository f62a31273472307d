"""Times as logs write them: RFC 3339 in UTC."""

import time


class Clockface:
    """Writes seconds since 1970 with milliseconds; the part down to the second is kept for as long as it lasts."""

    __slots__ = ("_milli", "_second", "_text", "_written")

    def __init__(self) -> None:
        self._second = self._milli = -1
        self._text = self._written = ""

    def __call__(self, wall: float) -> str:
        """`2026-01-31T23:59:59.123Z`, cut, not rounded: never a moment yet to come."""
        second = int(wall)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second, self._milli = second, -1
        milli = int((wall - second) * 1000)
        if milli != self._milli:  # many requests end in one
            self._milli = milli
            self._written = f"{self._text}{milli:03d}Z"
        return self._written
