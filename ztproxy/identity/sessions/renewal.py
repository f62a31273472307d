"""New claims for a session by its refresh token: once, in time, by one process at a time however many there are.

Whoever refreshes holds a lease, a record of its own that ends by itself. Who finds it held waits for what its holder
brings. After an issuer was away the lease stays for a while: until then nobody asks again.
"""

import asyncio
from enum import Enum

import msgspec

from ztproxy.identity.sessions.entry import Entry
from ztproxy.identity.sessions.refreshing import REFRESH_TIME, IssuerAway, Refresh, Refreshed, RefreshRefused
from ztproxy.identity.sessions.sealed import SealedSessions
from ztproxy.identity.sessions.session import MAXIMUM_SESSION, Session, encode
from ztproxy.store.records import Records, RecordsUnavailableError

LEASE = b"r"
"""What the keys of leases begin with."""
RETRY = 10.0
"""Seconds after which an issuer that was away is asked again for the same session."""
LEAST_BETWEEN = 5.0
"""Seconds between two refreshes, whatever the issuer says of its tokens."""
_LEASE_TIME = REFRESH_TIME + 10.0
_LOOK_EVERY = 0.1
_SAVE_ATTEMPTS = 20
_BUSY, _AWAY = b"busy", b"away"


class Renewed(Enum):
    """How it went."""

    DONE = "done"
    """Claims are new, by this process or another."""
    ENDED = "ended"
    """The issuer does not let it go on, or it is over for another reason."""
    AWAY = "away"
    """The issuer did not answer; what is known of the session is as before."""


class Renewal:
    """Refreshes sessions.

    Args:
        sessions: as they are kept.
        records: where leases are.
        refresh: asks the issuer.
    """

    def __init__(self, sessions: SealedSessions, records: Records, refresh: Refresh) -> None:
        self._sessions = sessions
        self._records = records
        self._refresh = refresh

    async def renew(self, entry: Entry, now: float) -> tuple[Renewed, str]:
        """Get new claims into the store and the entry, by whoever; and what the issuer said where it gave none.

        Raises `RecordsUnavailableError`.
        """
        lease = LEASE + entry.key[1:]
        if not await self._records.add(lease, _BUSY, now + _LEASE_TIME, now):
            return await self._wait_for(lease, entry, now), "another process refreshes it, or found the issuer away"
        found = await self._sessions.get(entry.key, now)
        if found is None:
            await self._records.remove(lease)
            return Renewed.ENDED, ""
        record, session = found
        entry.saw(record, session)
        if session.refresh_at is None or now < session.refresh_at:  # another did it meanwhile
            await self._records.remove(lease)
            return Renewed.DONE, ""
        outcome = await self._ask(session, now)
        match outcome:
            case Refreshed():
                kept = await self._keep(entry, outcome, now)
                await self._records.remove(lease)
                return (Renewed.DONE if kept else Renewed.ENDED), ""
            case RefreshRefused():
                await self._sessions.end(entry.key, now)
                await self._records.remove(lease)
                return Renewed.ENDED, outcome.cause
            case IssuerAway():
                held = await self._records.get(lease, now)
                if held is not None:
                    await self._records.replace(lease, held.version, _AWAY, now + RETRY, now)
                return Renewed.AWAY, outcome.cause

    async def _ask(self, session: Session, now: float) -> Refreshed | RefreshRefused | IssuerAway:
        try:
            async with asyncio.timeout(REFRESH_TIME):
                outcome = await self._refresh.refresh(session, now)
        except TimeoutError:
            return IssuerAway(f"no answer within {REFRESH_TIME:g} s")
        if isinstance(outcome, Refreshed) and len(encode(_merged(session, outcome, now))) > MAXIMUM_SESSION:
            return RefreshRefused(f"claims and tokens have more than {MAXIMUM_SESSION} octets")
        return outcome

    async def _keep(self, entry: Entry, outcome: Refreshed, now: float) -> bool:
        """Keep what the issuer gave, whatever else changed of the session meanwhile: it gives it once."""
        for attempt in range(_SAVE_ATTEMPTS):
            try:
                found = await self._sessions.get(entry.key, now)
                if found is None:
                    return False
                record, session = found
                merged = _merged(session, outcome, now)
                if changed := await self._sessions.change(entry.key, record.version, merged, now):
                    entry.saw(changed, merged)
                    return True
            except RecordsUnavailableError:
                if attempt == _SAVE_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(_LOOK_EVERY)
        raise RecordsUnavailableError("the session changes faster than it can be kept")

    async def _wait_for(self, lease: bytes, entry: Entry, now: float) -> Renewed:
        """What another process brings."""
        for _ in range(int(REFRESH_TIME / _LOOK_EVERY)):
            found = await self._sessions.get(entry.key, now)
            if found is None:
                return Renewed.ENDED
            record, session = found
            entry.saw(record, session)
            if session.refresh_at is None or now < session.refresh_at:
                return Renewed.DONE
            held = await self._records.get(lease, now)
            if held is None or held.value == _AWAY:
                return Renewed.AWAY
            await asyncio.sleep(_LOOK_EVERY)
        return Renewed.AWAY


def _merged(session: Session, outcome: Refreshed, now: float) -> Session:
    refresh_at = None if outcome.refresh_at is None else max(outcome.refresh_at, now + LEAST_BETWEEN)
    merged = msgspec.structs.asdict(outcome) | {"refresh_at": refresh_at}
    return msgspec.structs.replace(session, **merged)
