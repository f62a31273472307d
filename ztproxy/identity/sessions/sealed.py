"""Sessions as records: under which keys they stand, whose they are, and sealed so that each opens only in its place."""

from collections.abc import Sequence

import msgspec

from ztproxy.identity.sessions.session import KIND, Session, decode, encode, name_of
from ztproxy.store.records import Record, Records
from ztproxy.store.ring import Ring

PURPOSE = "session"
NAMED = b"n"
OWNER = b"o"
"""What owners begin with: a session's name, and an issuer's `sub` or `sid`."""


class SealedSessions:
    """What can be done with sessions in a store. Its methods raise `RecordsUnavailableError`.

    Args:
        records: the store.
        ring: what seals them.
        idle: seconds for which a session that is not used counts.
    """

    def __init__(self, records: Records, ring: Ring, idle: float) -> None:
        self._records = records
        self._ring = ring
        self._idle = idle

    def keys(self, identifier: bytes) -> Sequence[bytes]:
        """Where the session of a browser's identifier may stand: under the newest key of the ring, then the others."""
        return [KIND + name for name in self._ring.names(PURPOSE, identifier)]

    async def add(self, identifier: bytes, session: Session, now: float) -> bytes:
        """Keep a new session; its key."""
        key = self.keys(identifier)[0]
        owners = [NAMED + name_of(key).encode(), self.owners("sub", session.issuer, session.subject)[0]]
        if session.op_session is not None:
            owners.append(self.owners("sid", session.issuer, session.op_session)[0])
        sealed = self._sealed(key, session)
        if not await self._records.add(key, sealed, self._until(session), now, owners):
            kept = await self._records.get(key, now)  # ours: a store that lost its connection was asked twice
            if kept is None or kept.value != sealed:
                raise RuntimeError("two random identifiers of 256 bits are the same")
        return key

    async def find(self, keys: Sequence[bytes], now: float) -> tuple[bytes, Record] | None:
        """The first record of those that counts."""
        for key in keys:
            if record := await self._records.get(key, now):
                return key, record
        return None

    def opened(self, key: bytes, record: Record) -> Session | None:
        """The session in a record; None where it was not sealed for this place, by a key that the ring still has."""
        plain = self._ring.open(PURPOSE, key, record.value)
        return None if plain is None else decode(plain)

    async def get(self, key: bytes, now: float) -> tuple[Record, Session] | None:
        """A session that counts."""
        record = await self._records.get(key, now)
        session = None if record is None else self.opened(key, record)
        return None if record is None or session is None else (record, session)

    async def change(self, key: bytes, version: int, session: Session, now: float) -> Record | None:
        """Keep what has changed of a session; None where another changed it meanwhile, or it is over."""
        sealed, until = self._sealed(key, session), self._until(session)
        done = await self._records.replace(key, version, sealed, until, now)
        return Record(sealed, version + 1, until) if done else None

    async def end(self, key: bytes, now: float) -> Session | None:
        """End a session; it, if it counted."""
        record = await self._records.take(key, now)
        return None if record is None else self.opened(key, record)

    async def owned(self, owners: Sequence[bytes], now: float) -> set[bytes]:
        """The keys of the sessions that have one of these owners."""
        return {key for owner in owners for key in await self._records.owned(owner, now)}

    def owners(self, what: str, issuer: str, value: str) -> list[bytes]:
        """What the sessions of an issuer's `sub` or `sid` are found by, under each key of the ring."""
        said = msgspec.json.encode((issuer, value))
        return [OWNER + name for name in self._ring.names(f"owner {what}", said)]

    def _until(self, session: Session) -> float:
        return min(session.ends_at, session.used_at + self._idle)

    def _sealed(self, key: bytes, session: Session) -> bytes:
        return self._ring.seal(PURPOSE, key, encode(session))
