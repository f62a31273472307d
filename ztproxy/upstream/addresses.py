"""The addresses of a name: looked up again when their time is over, kept while that fails, used in turn.

`getaddrinfo` tells no lifetime, so it is configured. The first look-up is waited for; later ones happen beside the
requests, which go on with what is known.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any

Info = tuple[int, int, int, str, tuple[Any, ...]]
"""As `getaddrinfo` tells it: family, type, protocol, canonical name, address."""
Lookup = Callable[[str, int], Awaitable[Sequence[Info]]]
MOST = 64
"""Addresses of one name that are used."""
RETRY_SECONDS = 1.0
"""After a look-up that failed, where the lifetime is not shorter still."""


async def look_up(host: str, port: int) -> Sequence[Info]:
    """Ask the system."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), int(kind), protocol, name, address) for family, kind, protocol, name, address in found]


def in_turn(infos: Sequence[Info], turn: int) -> list[Info]:
    """Another address first each turn, within its family: which family is better the system knows (RFC 6724)."""
    families: dict[int, list[Info]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    return list(chain.from_iterable(own[turn % len(own) :] + own[: turn % len(own)] for own in families.values()))


class Addresses:
    """What a name stands for.

    Args:
        host: the name.
        port: the port.
        lifetime: seconds that a look-up counts.
        lookup: asks the system, or whom a test likes.
        changed: called with the addresses (and ports) that are no longer among the name's.
    """

    def __init__(
        self,
        host: str,
        port: int,
        lifetime: float,
        lookup: Lookup,
        changed: Callable[[frozenset[tuple[Any, ...]]], None],
    ) -> None:
        self._host = host
        self._port = port
        self._lifetime = lifetime
        self._lookup = lookup
        self._changed = changed
        self.known: tuple[Info, ...] = ()
        self._until = float("-inf")
        self._turn = 0
        self._task: asyncio.Task[None] | None = None
        self._wrong = ""

    async def get(self, now: float) -> list[Info]:
        """Addresses in the order to try; raises OSError or UnicodeError where none is known and none is found."""
        self.refresh(now)
        if not self.known and self._task is not None:
            await asyncio.shield(self._task)  # others may wait for it too
        if not self.known:  # and it failed a moment ago
            raise OSError(f"{self._host} could not be resolved: {self._wrong}")
        self._turn += 1
        return in_turn(self.known, self._turn - 1)

    def refresh(self, now: float) -> None:
        """Look up again if it is time, without waiting; `now` by the loop's clock."""
        if now >= self._until and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._renew())
            self._task.add_done_callback(self._renewed)

    def adopt(self, other: "Addresses") -> None:
        """Take over what another has found for the same name; it is looked up again soon all the same."""
        self.known = other.known

    def close(self) -> None:
        """Look up nothing any more."""
        if self._task is not None:
            self._task.cancel()

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        self._until = loop.time() + min(RETRY_SECONDS, self._lifetime)
        found = tuple(await self._lookup(self._host, self._port))[:MOST]
        if not found:
            raise OSError(f"{self._host} has no address")
        self._until = loop.time() + self._lifetime
        gone = _places(self.known) - _places(found)
        self.known = found
        if gone:
            self._changed(gone)

    def _renewed(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():  # whoever waits is told; otherwise the last addresses stay in use
            self._wrong = str(task.exception() or "")


def _places(infos: Sequence[Info]) -> frozenset[tuple[Any, ...]]:
    return frozenset(info[4][:2] for info in infos)
