"""Records that outlive a reload: the configuration that follows goes on with the store of the one before."""

from collections.abc import Sequence

from ztproxy.store.records import Page, Record, Records


class _Held:
    """An open store, until the last who holds it lets go."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.holders = 1

    async def release(self) -> None:
        self.holders -= 1
        if self.holders == 0:
            await self.records.close()


class SharedRecords:
    """A `Records` that can be taken over. What it was made with is closed unless others still hold it."""

    def __init__(self, records: Records) -> None:
        self._held = _Held(records)
        self._unused: list[_Held] = []

    def take_over(self, previous: "SharedRecords") -> None:
        """Go on with the other's store in place of our own."""
        held = previous._held  # noqa: SLF001 - one of its own kind
        if self._held is not held:
            self._unused.append(self._held)
            self._held = held
            held.holders += 1

    async def get(self, key: bytes, now: float) -> Record | None:
        """See `Records`."""
        return await self._held.records.get(key, now)

    async def add(self, key: bytes, value: bytes, until: float, now: float, owners: Sequence[bytes] = ()) -> bool:
        """See `Records`."""
        return await self._held.records.add(key, value, until, now, owners)

    async def replace(self, key: bytes, version: int, value: bytes, until: float, now: float) -> bool:
        """See `Records`."""
        return await self._held.records.replace(key, version, value, until, now)

    async def take(self, key: bytes, now: float) -> Record | None:
        """See `Records`."""
        return await self._held.records.take(key, now)

    async def remove(self, key: bytes) -> bool:
        """See `Records`."""
        return await self._held.records.remove(key)

    async def owned(self, owner: bytes, now: float) -> Sequence[bytes]:
        """See `Records`."""
        return await self._held.records.owned(owner, now)

    async def listed(self, kind: bytes, cursor: bytes, most: int, now: float) -> Page:
        """See `Records`."""
        return await self._held.records.listed(kind, cursor, most, now)

    async def count(self, kind: bytes, now: float) -> int:
        """See `Records`."""
        return await self._held.records.count(kind, now)

    async def close(self) -> None:
        """Let go of the store, and close it if nobody else holds it."""
        for held in (*self._unused, self._held):
            await held.release()
        self._unused.clear()
