"""Which route a host and path belong to.

Exact host before wildcard before `*`, among wildcards the longest; then the longest path of whole segments. A host that
has routes never falls back to a less exact one: `*` does not catch what an exact host leaves out.
"""

from collections.abc import Iterable

from ztproxy.config.routes import Route
from ztproxy.config.values import segments
from ztproxy.model import Arrived, Reason, Refusal, Routed

_NOT_FOUND = Refusal(Reason.ROUTE_NOT_FOUND)


class _Paths:
    """The paths of one host, the longest first; compared by their decoded segments, so that no spelling slips past."""

    def __init__(self) -> None:
        self._prefixes: list[tuple[tuple[str, ...], bool, str]] = []

    def add(self, path: str, route: str) -> None:
        parts = segments(path)
        below = parts[-1:] == ("",)
        self._prefixes.append((parts[:-1] if below else parts, below, route))
        self._prefixes.sort(key=lambda entry: (-len(entry[0]), not entry[1]))

    def route(self, asked: tuple[str, ...]) -> str | None:
        """The route of the longest prefix: `/api/` covers what is below it, `/api` itself and what is below it."""
        for parts, below, route in self._prefixes:
            if asked[: len(parts)] == parts and (not below or len(asked) > len(parts)):
                return route
        return None


class Routing:
    """The routes, ready to be looked up."""

    def __init__(self) -> None:
        self.exact: dict[str, _Paths] = {}
        self.wildcards: dict[str, _Paths] = {}
        """By the suffix after `*.`."""
        self.everything = _Paths()

    @classmethod
    def build(cls, routes: Iterable[Route]) -> "Routing":
        """Index routes by host; the configuration has been checked for equals."""
        made = cls()
        for route in routes:
            for host in route.hosts:
                if host == "*":
                    paths = made.everything
                elif host.startswith("*."):
                    paths = made.wildcards.setdefault(host[2:], _Paths())
                else:
                    paths = made.exact.setdefault(host, _Paths())
                for path in route.paths:
                    paths.add(path, route.name)
        return made

    def route(self, arrived: Arrived) -> Routed | Refusal:
        """The request's route, or `route-not-found`."""
        name = self._paths(arrived.host).route(arrived.segments)
        return _NOT_FOUND if name is None else Routed(arrived, name)

    def _paths(self, host: str) -> _Paths:
        if found := self.exact.get(host):
            return found
        if self.wildcards:
            _, _, rest = host.partition(".")
            while rest:
                if found := self.wildcards.get(rest):
                    return found
                _, _, rest = rest.partition(".")
        return self.everything
