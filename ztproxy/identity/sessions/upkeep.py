"""What a session that is used needs now and then: its use is written back, and its claims are refreshed."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from ztproxy.config.sessions import Sessions as SessionSettings
from ztproxy.identity.sessions.entry import Entry
from ztproxy.identity.sessions.refreshing import Refresh
from ztproxy.identity.sessions.renewal import RETRY, Renewal, Renewed
from ztproxy.identity.sessions.sealed import SealedSessions
from ztproxy.model import Reason, Refusal
from ztproxy.store.records import Records, RecordsUnavailableError

PATIENCE = 3.0
"""Seconds that a request waits for new claims."""
_OFTEN = 60.0
"""Seconds after which use is written back at the latest; it is a tenth of the idle time where that is shorter."""
MOST_UNDER_WAY = 256
"""Things done beside requests; more wait for their next use."""


class Upkeep:
    """Keeps sessions up.

    Args:
        sessions: as they are kept.
        records: the store.
        settings: as configured.
        over: told of sessions that their issuer does not let go on.
    """

    def __init__(
        self, sessions: SealedSessions, records: Records, settings: SessionSettings, over: Callable[[bytes], None]
    ) -> None:
        self.counted: Counter[str] = Counter()
        """Refreshes, by how they went."""
        self.last_failure = ""
        """What kept sessions from being refreshed, or their use from being written."""
        self._sessions = sessions
        self._records = records
        self._over = over
        self._renewal: Renewal | None = None
        self._outage = settings.outage
        self._step = min(_OFTEN, settings.idle / 10)
        self._writing: set[bytes] = set()
        self._renewing: dict[bytes, asyncio.Task[Renewed]] = {}
        self._impatient: set[bytes] = set()
        """Sessions whose refresh has been waited for long enough."""
        self._away: dict[str, float] = {}
        """Issuers that did not answer, and when to ask again: seconds of the monotonic clock."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def refresh_by(self, refresh: Refresh) -> None:
        """Let sessions be refreshed; before that is said, none is."""
        self._renewal = Renewal(self._sessions, self._records, refresh)

    def used(self, entry: Entry, now: float) -> None:
        """Write back that a session is used, beside the request, if that was not done a moment ago."""
        if now - entry.session.used_at < self._step or entry.key in self._writing:
            return
        if len(self._tasks) < MOST_UNDER_WAY:
            self._writing.add(entry.key)
            self._begin(self._write(entry, now))

    async def renewed(self, entry: Entry, now: float, monotonic: float, *, wait: bool = True) -> Refusal | None:
        """See to it that a session's claims count, or say why they do not. `entry.ended` says whether it does.

        Before its claims expire, they are refreshed beside the request. After that the request waits, but never long;
        while the issuer is away, the session goes on for `sessions.outage`.
        """
        session = entry.session
        if session.refresh_token is None or session.refresh_at is None or now < session.refresh_at:
            return None
        task = self._renewing.get(entry.key) or self._begun(entry, now, monotonic)
        expired = session.token_expires_at is not None and now >= session.token_expires_at
        if expired and wait and task is not None and entry.key not in self._impatient:
            done, _ = await asyncio.wait((task,), timeout=PATIENCE)
            if not done:
                self._impatient.add(entry.key)
        session = entry.session
        if session.token_expires_at is not None and now >= session.token_expires_at + self._outage:
            cause = (
                f"its claims expired {now - session.token_expires_at:.0f} s ago: {self.last_failure or 'not renewed'}"
            )
            return Refusal(Reason.SESSION_NOT_RENEWED, cause=cause, fields=((b"retry-after", b"10"),))
        return None

    async def settled(self) -> None:
        """Until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Let what is under way end, for a moment: a refresh token counts once."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=PATIENCE)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _begun(self, entry: Entry, now: float, monotonic: float) -> "asyncio.Task[Renewed] | None":
        """A refresh that begins now; None where its issuer was away a moment ago, or too many are under way."""
        issuer = entry.session.issuer
        again = self._away.get(issuer)
        if (again is not None and monotonic < again) or len(self._renewing) >= MOST_UNDER_WAY or self._renewal is None:
            return None
        task = asyncio.get_running_loop().create_task(self._renew(self._renewal, entry, now, monotonic))
        self._renewing[entry.key] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if again is not None:
            self._away[issuer] = monotonic + RETRY
            return None  # one asks whether it is back; nobody waits for that
        return task

    async def _renew(self, renewal: Renewal, entry: Entry, now: float, monotonic: float) -> Renewed:
        issuer = entry.session.issuer
        try:
            outcome, cause = await renewal.renew(entry, now)
        except RecordsUnavailableError as wrong:
            outcome, cause = Renewed.AWAY, str(wrong)
        finally:
            self._renewing.pop(entry.key, None)
            self._impatient.discard(entry.key)
        self.counted[outcome.value] += 1
        match outcome:
            case Renewed.DONE:
                self._away.pop(issuer, None)
            case Renewed.ENDED:
                entry.end()
                if cause:
                    self.last_failure = cause
                    self._over(entry.key)
            case Renewed.AWAY:
                self._away[issuer] = monotonic + RETRY
                self.last_failure = cause
        return outcome

    async def _write(self, entry: Entry, now: float) -> None:
        try:
            session = msgspec.structs.replace(entry.session, used_at=now)
            changed = await self._sessions.change(entry.key, entry.version, session, now)
            if changed is not None and not entry.ended:
                entry.saw(changed, session)
                entry.schedule(now)
        except RecordsUnavailableError as wrong:
            self.last_failure = str(wrong)
        finally:
            self._writing.discard(entry.key)

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
