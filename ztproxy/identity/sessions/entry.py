"""What one process knows of a session, and for how long it may go by that without asking the store."""

from ztproxy.identity.groups import GroupMapping
from ztproxy.identity.sessions.session import Session, name_of, token_of
from ztproxy.model import Token
from ztproxy.store.records import Record


class Entry:
    """A session as it was last seen in the store. What ends it here counts at once for all who hold the entry."""

    def __init__(
        self, owner: object, key: bytes, record: Record, session: Session, mapping: GroupMapping | None = None
    ) -> None:
        self.owner = owner
        """Who looked it up: what was found under another configuration does not count."""
        self.key = key
        self.host = session.host
        self.issuer = session.issuer
        self.name = name_of(key)
        self.mapping = mapping
        self.token: Token = token_of(session, key, mapping)
        self.session = session
        self.version = record.version
        self.until = record.until
        self.ended = False
        self.fresh_until = 0.0
        """Until when the store need not be asked; seconds of the monotonic clock."""
        self.due = 0.0
        """From when there is something to do about it; seconds since 1970."""
        self.retry_at = 0.0
        """When its issuer may be asked again after it was away; seconds of the monotonic clock."""

    def saw(self, record: Record, session: Session) -> None:
        """The store has another version of it."""
        if session.claims != self.session.claims or session.issued_at != self.session.issued_at:
            self.token = token_of(session, self.key, self.mapping)
        self.session, self.version, self.until = session, record.version, record.until

    def end(self) -> None:
        """It counts no more."""
        self.ended = True
        self.fresh_until = 0.0

    def schedule(self, now: float) -> None:
        """Set when something has to be done next: it is over, or its claims are to be refreshed."""
        session, due = self.session, self.until
        if session.refresh_token is not None:
            for moment in (session.refresh_at, session.token_expires_at):
                if moment is not None and now < moment < due:
                    due = moment
        self.due = due
