"""What active checks say of a server, out of their results alone."""

from ztproxy.config.upstreams import Health


class Verdict:
    """Fit until the first check; the first result counts at once, then so many in a row as configured."""

    __slots__ = ("_health", "_row", "checks", "fit")

    def __init__(self, health: Health) -> None:
        self._health = health
        self._row = 0
        """Results in a row that speak against `fit`."""
        self.checks = 0
        self.fit = True

    def take(self, *, good: bool) -> bool:
        """Take a result in; whether `fit` changed."""
        self.checks += 1
        if good == self.fit:
            self._row = 0
            return False
        self._row += 1
        needed = 1 if self.checks == 1 else self._health.healthy if good else self._health.unhealthy
        if self._row < needed:
            return False
        self._row = 0
        self.fit = good
        return True
