"""The sessions of all browsers, as the rest of the program sees them: begun, found, ended.

Each process remembers what it has looked up for `FRESH` seconds, and asks the store again then. A session that is ended
counts no more at once in the process that ends it, and after that time in the others.
"""

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from ztproxy.config.sessions import Sessions as SessionSettings
from ztproxy.identity.groups import GroupMapping
from ztproxy.identity.kept import Clock
from ztproxy.identity.login.navigation import navigates
from ztproxy.identity.sessions import cookie
from ztproxy.identity.sessions.counting import OpenSessions
from ztproxy.identity.sessions.entry import Entry
from ztproxy.identity.sessions.remembered import Remembered
from ztproxy.identity.sessions.sealed import NAMED, SealedSessions
from ztproxy.identity.sessions.session import MAXIMUM_SESSION, Found, Session, encode
from ztproxy.identity.sessions.streams import Streams
from ztproxy.identity.sessions.upkeep import Upkeep
from ztproxy.model import Arrived, Fields, Reason, Refusal, Token
from ztproxy.store.records import RecordsUnavailableError
from ztproxy.store.ring import Ring
from ztproxy.store.shared_records import SharedRecords

FRESH = 1.0
"""Seconds."""
_LATER = ((b"retry-after", b"10"),)
_NOTE = "session"
"""What an entry is noted under."""


class Sessions:
    """All sessions that this process knows how to find.

    Args:
        records: where they are kept.
        ring: what seals them.
        settings: as configured.
        clients: what ztproxy is called at each issuer that browsers log in at.
        clock: the time.
        groups: what their claims say about groups, by issuer that says anything.
    """

    def __init__(
        self,
        records: SharedRecords,
        ring: Ring,
        settings: SessionSettings,
        clients: Mapping[str, str],
        clock: Clock,
        *,
        groups: Mapping[str, GroupMapping] | None = None,
    ) -> None:
        self.records = records
        self.ring = ring
        self.sealed = SealedSessions(records, ring, settings.idle)
        self.upkeep = Upkeep(self.sealed, records, settings, self._refused)
        self.ended: Counter[str] = Counter()
        """Sessions ended by this process, by why."""
        self.begun = 0
        self.up = True
        """Whether the store answered when it was last asked."""
        self.open = OpenSessions(records, clock.wall, clock.monotonic)
        self._settings = settings
        self._binds = settings.bind_certificate
        self._clients = clients
        self._groups = groups or {}
        self._remembered = Remembered()
        self.streams = Streams(self, self.upkeep)

    async def begin(self, session: Session, replacing: bytes | None, now: float) -> Fields | Refusal:
        """Keep a new session under a new identifier, and end the one that it replaces.

        Args:
            session: who logged in. Its times are set here, but for an earlier `ends_at`.
            replacing: the identifier that the browser presented, as `cookie.value_of` read it.
            now: seconds since 1970.

        Returns:
            The fields that give the browser its cookie; or why there is no session.
        """
        ends_at = min(session.ends_at, now + self._settings.lifetime)
        made = msgspec.structs.replace(session, created_at=now, used_at=now, ends_at=ends_at)
        if (octets := len(encode(made))) > MAXIMUM_SESSION:
            return Refusal(Reason.SESSION_TOO_LARGE, cause=f"{octets} octets; at most {MAXIMUM_SESSION}")
        identifier = secrets.token_bytes(cookie.IDENTIFIER)
        try:
            if replacing is not None:
                await self._end(self.sealed.keys(replacing), now, "replaced")
            await self.sealed.add(identifier, made, now)
        except RecordsUnavailableError as wrong:
            return self._unavailable(wrong)
        self.begun += 1
        return cookie.setting(identifier)

    def recall(self, arrived: Arrived, issuer: str | None) -> Token | None:
        """The session that a request presents, if it was looked up a moment ago; None: `find` has to be asked.

        Args:
            arrived: the request.
            issuer: the one whose sessions count here.
        """
        cookies = arrived.own_cookies
        noted: tuple[Fields, Entry] | None = arrived.notes.get(_NOTE)
        entry = noted[1] if noted is not None and noted[0] is cookies else self._known(arrived, cookies)
        if (
            entry is None
            or arrived.monotonic >= entry.fresh_until
            or arrived.wall >= entry.due
            or entry.owner is not self
            or arrived.host != entry.host
            or (issuer is not None and issuer != entry.issuer)
            or arrived.scheme != "https"
            or (self._binds and entry.session.certificate != self.binding(arrived))
        ):
            return None
        return entry.token

    def _known(self, arrived: Arrived, cookies: Fields) -> Entry | None:
        """What is remembered of a cookie; noted for the next request with it."""
        value = cookie.presented(cookies)
        entry = self._remembered.get(hashlib.sha256(value).digest()) if isinstance(value, bytes) else None
        if entry is not None:
            arrived.notes[_NOTE] = (cookies, entry)  # for those very cookies and no others
        return entry

    async def find(self, arrived: Arrived, issuer: str | None) -> Found | Refusal | None:
        """The session that a request presents; None where it presents none that counts.

        Suspends while the store is asked and, where its claims have expired, for a while until they are new.

        Args:
            arrived: the request.
            issuer: the one whose sessions count here; None: any that browsers log in at.

        Returns:
            A refusal where the store does not answer, where claims could not be renewed for too long, and where no
            person sees what comes of a cookie that cannot be read; a person is taken to a new login.
        """
        value = cookie.value_of(arrived.own_cookies)
        if value is cookie.Unreadable.COOKIE and not navigates(arrived):
            return Refusal(Reason.SESSION_UNREADABLE)
        if not isinstance(value, bytes):
            return None
        try:
            entry = await self._looked_up(value, arrived.wall, arrived.monotonic)
            if entry is None or not self._counts(entry.session, arrived, issuer):
                return None
            refusal = (
                None if issuer is None else await self.upkeep.renewed(entry, arrived.wall, arrived.monotonic)
            )  # our own pages, as the one to log out, rest on who it is alone
        except RecordsUnavailableError as wrong:
            return self._unavailable(wrong)
        if refusal is not None:
            return refusal
        if entry.ended or not self._counts(entry.session, arrived, issuer):
            return None
        self.upkeep.used(entry, arrived.wall)
        entry.schedule(arrived.wall)
        return Found(entry.token, entry.session)

    async def end(self, value: bytes, now: float, why: str = "logout") -> Session | Refusal | None:
        """End a session by its identifier; it, if it counted."""
        try:
            ended = await self._end(self.sealed.keys(value), now, why)
        except RecordsUnavailableError as wrong:
            return self._unavailable(wrong)
        return ended[0] if ended else None

    def cleared(self) -> Fields:
        """The fields that take the cookie from a browser."""
        return cookie.clearing()

    async def end_owned(
        self, issuer: str, *, op_session: str | None, subject: str | None, now: float, why: str = "back-channel"
    ) -> int | Refusal:
        """End all sessions of an issuer's session, or of a subject, or what belongs to both where both are named.

        Returns:
            How many there were.
        """
        said = (("sid", op_session), ("sub", subject))
        try:
            owned = [
                await self.sealed.owned(self.sealed.owners(what, issuer, value), now)
                for what, value in said
                if value is not None
            ]
            return len(await self._end(set.intersection(*owned) if owned else (), now, why))
        except RecordsUnavailableError as wrong:
            return self._unavailable(wrong)

    async def end_named(self, name: str, now: float, why: str = "revoked") -> int:
        """End the session of a name, as `Token.session`; how many there were. Raises `RecordsUnavailableError`."""
        return len(await self._end(await self.sealed.owned([NAMED + name.encode()], now), now, why))

    async def named(self, name: str, now: float, monotonic: float) -> Entry | None:
        """A session that counts, by its name. Raises `RecordsUnavailableError`."""
        digest = self._remembered.digest_of(name)
        entry = None if digest is None else self._remembered.get(digest)
        if entry is None or monotonic >= entry.fresh_until:
            keys = [entry.key] if entry is not None else await self.sealed.owned([NAMED + name.encode()], now)
            entry = await self._entry(digest, keys, now, monotonic)
        counts = entry is not None and now < entry.until and self._may_count(entry.session)
        return entry if counts else None

    def take_over(self, previous: "Sessions") -> None:
        """Go on with the sessions of the configuration before, where both keep them in the same place."""
        if self._settings.place == previous._settings.place:  # noqa: SLF001 - one of its own kind
            self.records.take_over(previous.records)

    async def close(self) -> None:
        """Let what is under way end, and let go of the store."""
        await self.upkeep.close()
        await self.open.settled()
        await self.records.close()

    def doubt(self) -> None:
        """Ask the store anew about every session: others have ended some."""
        self._remembered.doubt()

    def binding(self, arrived: Arrived) -> str | None:
        """What a session that begins with this request is bound to: `Session.certificate`."""
        certificate = arrived.connection.unchecked_certificate
        if not self._binds or certificate is None or isinstance(certificate, Refusal):
            return None
        return certificate.fingerprint

    def _counts(self, session: Session, arrived: Arrived, issuer: str | None) -> bool:
        return (
            session.host == arrived.host
            and arrived.scheme == "https"
            and (issuer is None or issuer == session.issuer)
            and self._may_count(session)
            and (not self._binds or session.certificate == self.binding(arrived))
        )

    def _may_count(self, session: Session) -> bool:
        """Whether it is of a login as it is configured now, and bound to a certificate only where that is looked at."""
        ours = self._clients.get(session.issuer) == session.client_id
        return ours and (self._binds or session.certificate is None)

    async def _looked_up(self, value: bytes, now: float, monotonic: float) -> Entry | None:
        digest = hashlib.sha256(cookie.written(value)).digest()
        known = self._remembered.get(digest)
        return await self._entry(digest, self.sealed.keys(value) if known is None else [known.key], now, monotonic)

    async def _entry(self, digest: bytes | None, keys: Iterable[bytes], now: float, monotonic: float) -> Entry | None:
        """What the store says of a session, remembered where its identifier's hash is known."""
        endings = self._remembered.endings
        found = await self.sealed.find(list(keys), now)
        self.up = True
        entry = None if digest is None else self._remembered.get(digest)
        if found is None:
            if entry is not None:
                self._remembered.forget(entry.key)
            return None
        key, record = found
        if entry is None or entry.version != record.version:
            session = self.sealed.opened(key, record)
            if session is None:
                self._remembered.forget(key)
                return None
            if entry is None:
                entry = Entry(self, key, record, session, self._groups.get(session.issuer))
                if digest is not None:
                    self._remembered.remember(digest, entry)
            else:
                entry.saw(record, session)
        # Not where anything was ended here while the store was asked; and `recall` rests on the rest.
        if endings == self._remembered.endings and self._may_count(entry.session):
            entry.fresh_until = monotonic + FRESH
        entry.schedule(now)
        return entry

    async def _end(self, keys: Iterable[bytes], now: float, why: str) -> list[Session]:
        ended = []
        for key in keys:
            self._remembered.forget(key)
            session = await self.sealed.end(key, now)
            self._remembered.forget(key)  # whoever asked meanwhile may have remembered it again
            if session is not None:
                self.ended[why] += 1
                ended.append(session)
        return ended

    def _refused(self, key: bytes) -> None:
        """Its issuer does not let a session go on."""
        self._remembered.forget(key)
        self.ended["refused"] += 1

    def _unavailable(self, wrong: RecordsUnavailableError) -> Refusal:
        """What comes of a store that does not answer, or has no room."""
        if wrong.full:
            return Refusal(Reason.SESSIONS_FULL, cause=str(wrong), fields=_LATER)
        self.up = False
        return Refusal(Reason.SESSION_STORE_UNAVAILABLE, cause=str(wrong), fields=_LATER)
