"""A ring of hashes: which server a key belongs to, such that a server that comes or goes moves its own keys alone.

D. Karger and others, Consistent Hashing and Random Trees, 1997. Places depend on nothing but names and weights, so all
workers and hosts with one configuration agree, and a restart moves nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b

KEY_BITS = 128
_PLACE_BITS = 64
_PLACES = 160
"""For a weight of 1: shares within about a tenth of what they should be."""
_MOST_PLACES = 65536
_PLACE_MASK = (1 << _PLACE_BITS) - 1


def hashed(text: str) -> int:
    """A key's place: its lower half on the ring, its upper half for a server that starts slowly."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=KEY_BITS // 8).digest(), "big")


class Ring:
    """Servers on a circle, each at many places.

    Args:
        servers: names and weights.
    """

    def __init__(self, servers: Sequence[tuple[str, int]]) -> None:
        places = max(1, min(_PLACES, _MOST_PLACES // sum(weight for _, weight in servers)))
        taken = sorted(
            (hashed(f"{name}#{number}") & _PLACE_MASK, index)
            for index, (name, weight) in enumerate(servers)
            for number in range(places * weight)
        )
        self._places = [place for place, _ in taken]
        self._owners = [owner for _, owner in taken]

    def owner(self, key: int) -> int:
        """The index of the server that a key belongs to."""
        return self._owners[bisect_left(self._places, key & _PLACE_MASK) % len(self._owners)]

    def owners(self, key: int) -> Iterator[int]:
        """The servers' indices from the key's place on, all the way round; each comes again and again."""
        owners, count = self._owners, len(self._owners)
        first = bisect_left(self._places, key & _PLACE_MASK)
        for step in range(count):
            yield owners[(first + step) % count]
