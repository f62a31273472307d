"""The sessions of all browsers, as the rest of the program sees them."""

import secrets

import msgspec

from ztproxy.config.sessions import Sessions as SessionSettings
from ztproxy.identity.sessions import cookie
from ztproxy.identity.sessions.session import KIND, MAXIMUM_SESSION, Found, Session, decode, encode, name_of, token_of
from ztproxy.model import Arrived, Fields, Reason, Refusal
from ztproxy.store.records import Records, RecordsUnavailableError
from ztproxy.store.ring import Ring

_PURPOSE = "session"


class Sessions:
    """Begins, finds and ends sessions.

    Args:
        records: where they are kept.
        ring: what seals them.
        settings: as configured.
        clients: what ztproxy is called at each issuer that browsers log in at.
    """

    def __init__(self, records: Records, ring: Ring, settings: SessionSettings, clients: dict[str, str]) -> None:
        self.records = records
        self.ring = ring
        self._settings = settings
        self._clients = clients

    async def begin(self, session: Session, replacing: bytes | None, now: float) -> Fields | Refusal:
        """Keep a new session under a new identifier, and end the one that it replaces.

        Args:
            session: who logged in. Its times are set here, but for an earlier `ends_at`.
            replacing: the identifier that the browser presented, as `cookie.value_of` read it.
            now: seconds since 1970.

        Returns:
            The fields that give the browser its cookie; or why there is no session.
        """
        lifetime = min(session.ends_at, now + self._settings.lifetime)
        made = msgspec.structs.replace(session, created_at=now, used_at=now, ends_at=lifetime)
        plain = encode(made)
        if len(plain) > MAXIMUM_SESSION:
            return Refusal(Reason.SESSION_TOO_LARGE, cause=f"{len(plain)} octets; at most {MAXIMUM_SESSION}")
        identifier = secrets.token_bytes(cookie.IDENTIFIER)
        key = KIND + self.ring.names(_PURPOSE, identifier)[0]
        until = min(made.ends_at, now + self._settings.idle)
        try:
            added = await self.records.add(
                key, self.ring.seal(_PURPOSE, key, plain), until, now, self._owners(made, key)
            )
            if replacing is not None:
                await self._remove(replacing)
        except RecordsUnavailableError as wrong:
            return _unavailable(wrong)
        if not added:
            raise RuntimeError("two random identifiers of 256 bits are the same")
        return cookie.setting(identifier)

    async def find(self, arrived: Arrived, issuer: str | None) -> Found | Refusal | None:
        """The session that a request presents; None where it presents none that counts.

        Args:
            arrived: the request.
            issuer: the one whose sessions count here; None: any that browsers log in at.
        """
        value = cookie.value_of(arrived.own_cookies)
        if not isinstance(value, bytes):
            return None
        try:
            for name in self.ring.names(_PURPOSE, value):
                if record := await self.records.get(KIND + name, arrived.wall):
                    session = self._opened(KIND + name, record.value)
                    counts = session is not None and self._counts(session, arrived, issuer)
                    return Found(token_of(session, KIND + name), session) if session and counts else None
        except RecordsUnavailableError as wrong:
            return _unavailable(wrong)
        return None

    async def end(self, value: bytes, now: float) -> Session | Refusal | None:
        """End a session by its identifier; it, if it counted."""
        try:
            for name in self.ring.names(_PURPOSE, value):
                if record := await self.records.take(KIND + name, now):
                    return self._opened(KIND + name, record.value)
        except RecordsUnavailableError as wrong:
            return _unavailable(wrong)
        return None

    def cleared(self) -> Fields:
        """The fields that take the cookie from a browser."""
        return cookie.clearing()

    async def end_owned(self, issuer: str, *, op_session: str | None, subject: str | None, now: float) -> int | Refusal:
        """End all sessions of an issuer's session, or of a subject, or what belongs to both where both are named.

        Returns:
            How many there were.
        """
        try:
            found: set[bytes] | None = None
            for what, value in (("sid", op_session), ("sub", subject)):
                if value is not None:
                    keys = {
                        key
                        for owner in self._owner(what, issuer, value)
                        for key in await self.records.owned(owner, now)
                    }
                    found = keys if found is None else found & keys
            return sum([await self.records.remove(key) for key in found or ()])
        except RecordsUnavailableError as wrong:
            return _unavailable(wrong)

    def binding(self, arrived: Arrived) -> str | None:
        """What a session that begins with this request is bound to: `Session.certificate`."""
        certificate = arrived.connection.unchecked_certificate
        if not self._settings.bind_certificate or certificate is None or isinstance(certificate, Refusal):
            return None
        return certificate.fingerprint

    def _opened(self, key: bytes, sealed: bytes) -> Session | None:
        plain = self.ring.open(_PURPOSE, key, sealed)
        return None if plain is None else decode(plain)

    def _counts(self, session: Session, arrived: Arrived, issuer: str | None) -> bool:
        return (
            session.host == arrived.host
            and issuer in (None, session.issuer)
            and self._clients.get(session.issuer) == session.client_id
            and arrived.wall < session.ends_at
            and session.certificate == self.binding(arrived)
        )

    def _owners(self, session: Session, key: bytes) -> list[bytes]:
        owners = [b"n" + name_of(key).encode(), self._owner("sub", session.issuer, session.subject)[0]]
        if session.op_session is not None:
            owners.append(self._owner("sid", session.issuer, session.op_session)[0])
        return owners

    def _owner(self, what: str, issuer: str, value: str) -> list[bytes]:
        """What the sessions of an issuer's `sub` or `sid` are found by, under each key of the ring."""
        said = msgspec.json.encode((issuer, value))
        return [b"o" + name for name in self.ring.names(f"owner {what}", said)]

    async def _remove(self, value: bytes) -> None:
        for name in self.ring.names(_PURPOSE, value):
            await self.records.remove(KIND + name)


def _unavailable(wrong: RecordsUnavailableError) -> Refusal:
    reason = Reason.SESSIONS_FULL if wrong.full else Reason.SESSION_STORE_UNAVAILABLE
    return Refusal(reason, cause=str(wrong), fields=((b"retry-after", b"10"),))
