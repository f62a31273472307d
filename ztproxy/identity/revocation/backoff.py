"""When to try again what has failed: later each time, up to a longest pause."""


class Backoff:
    """Attempts in a row that failed, and until when to wait; seconds, on the monotonic clock."""

    def __init__(self, pause: float, longest: float) -> None:
        self.failures = 0
        self.last_failure = ""
        self.next_attempt = float("-inf")
        self._pause = pause
        self._longest = longest

    def over(self, now: float) -> bool:
        """Whether it may be tried."""
        return now >= self.next_attempt

    def failed(self, now: float, cause: str) -> None:
        """Wait from now on, twice as long as after the attempt before."""
        self.failures += 1
        self.last_failure = cause
        self.next_attempt = now + min(self._pause * 2 ** min(self.failures - 1, 16), self._longest)

    def succeeded(self) -> None:
        """All is well."""
        self.failures, self.last_failure, self.next_attempt = 0, "", float("-inf")

    def copy(self) -> "Backoff":
        """Another one that stands as this one does."""
        made = Backoff(self._pause, self._longest)
        made.failures, made.last_failure, made.next_attempt = self.failures, self.last_failure, self.next_attempt
        return made
