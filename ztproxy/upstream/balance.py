"""Which of the servers that are fit gets the next request. Nothing here knows time, sockets or health."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ztproxy.upstream.hashing import KEY_BITS, Ring


class Candidate(Protocol):
    """A server that may be chosen."""

    @property
    def index(self) -> int:
        """Its place in the configuration."""

    @property
    def weight(self) -> int:
        """Its configured weight."""

    @property
    def ramp(self) -> float:
        """The part of its weight that counts now, above 0: less than 1 while it starts slowly."""

    @property
    def in_flight(self) -> int:
        """Its requests under way."""


Chosen = TypeVar("Chosen", bound=Candidate)


class Balancer(Protocol):
    """A way to choose."""

    def pick(self, fit: Sequence[Chosen], key: int) -> Chosen:
        """One of the candidates, of which there is at least one; `key` says whom the request is for."""


class RoundRobin:
    """One after the other; for servers of one weight that start at once."""

    def __init__(self) -> None:
        self._next = 0

    def pick(self, fit: Sequence[Chosen], key: int) -> Chosen:  # noqa: ARG002 - every way to choose is asked alike
        """The next."""
        number = self._next
        self._next = number + 1
        return fit[number % len(fit)]


class WeightedRoundRobin:
    """Each in proportion to its weight, spread as evenly as can be: nginx's smooth weighted round robin."""

    def __init__(self) -> None:
        self._credit: dict[int, float] = {}

    def pick(self, fit: Sequence[Chosen], key: int) -> Chosen:  # noqa: ARG002
        """The one with most credit: each gains its weight at every turn, the chosen pays what all gained."""
        credit = self._credit
        total, best, most = 0.0, fit[0], float("-inf")
        for candidate in fit:
            share = candidate.weight * candidate.ramp
            total += share
            has = credit[candidate.index] = credit.get(candidate.index, 0.0) + share
            if has > most:
                best, most = candidate, has
        credit[best.index] -= total
        return best


class LeastRequests:
    """The less busy of two drawn: nearly as good as the least of all, and no herd runs to one server.

    For servers of one weight that start at once. M. Mitzenmacher, The Power of Two Choices in Randomized Load
    Balancing, 2001.

    Args:
        random: numbers in [0, 1).
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random

    def pick(self, fit: Sequence[Chosen], key: int) -> Chosen:  # noqa: ARG002
        """The first drawn, unless the second is less busy."""
        count = len(fit)
        place = int(self._random() * count)
        first = fit[place]
        if count == 1:
            return first
        other = int(self._random() * (count - 1))
        second = fit[other if other < place else other + 1]
        return second if second.in_flight < first.in_flight else first


class WeightedLeastRequests:
    """The same, drawn by weight, and busy for its weight.

    Args:
        random: numbers in [0, 1).
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random

    def pick(self, fit: Sequence[Chosen], key: int) -> Chosen:  # noqa: ARG002
        """The first drawn, unless the second is less busy for its weight."""
        first = self._draw(fit)
        if len(fit) == 1:
            return first
        second = self._draw([candidate for candidate in fit if candidate is not first])
        return second if _load(second) < _load(first) else first

    def _draw(self, fit: Sequence[Chosen]) -> Chosen:
        left = self._random() * sum([candidate.weight * candidate.ramp for candidate in fit])
        for candidate in fit:
            left -= candidate.weight * candidate.ramp
            if left < 0:
                return candidate
        return fit[-1]


class ConsistentHash:
    """The server that a key belongs to on a ring; where that one is away, its keys alone go to those behind it.

    A server that starts slowly takes its keys back one after the other, each of them once.

    Args:
        servers: names and weights, in the configuration's order.
    """

    def __init__(self, servers: Sequence[tuple[str, int]]) -> None:
        self._ring = Ring(servers)
        self._whole = len(servers)

    def pick(self, fit: Sequence[Chosen], key: int) -> Chosen:
        """The first fit server at or behind the key's place."""
        if len(fit) == self._whole:
            candidate = fit[self._ring.owner(key)]
            if candidate.ramp == 1.0:
                return candidate
        by_index = {candidate.index: candidate for candidate in fit}
        place = (key >> (KEY_BITS // 2)) / (1 << (KEY_BITS // 2))
        skipped: Chosen | None = None
        for index in self._ring.owners(key):
            if index not in by_index:
                continue
            candidate = by_index[index]
            if place < candidate.ramp:
                return candidate
            skipped = skipped or candidate
        return skipped or fit[0]


def _load(candidate: Candidate) -> float:
    return candidate.in_flight / (candidate.weight * candidate.ramp)


def balancer(
    name: str, servers: Sequence[tuple[str, int]], *, starts_slowly: bool, random: Callable[[], float]
) -> Balancer:
    """The way to choose that `balance` names."""
    if name.startswith("consistent_hash("):
        return ConsistentHash(servers)
    even = len({weight for _, weight in servers}) == 1 and not starts_slowly
    if name == "least_requests":
        return LeastRequests(random) if even else WeightedLeastRequests(random)
    return RoundRobin() if even else WeightedRoundRobin()
