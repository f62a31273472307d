"""What a worker does with sessions for an operator: see whose there are, and end them."""

from ztproxy.admin.sessions import Line, Lines, Listing, Revoked, Revoking
from ztproxy.identity.sessions.service import Sessions
from ztproxy.identity.sessions.session import KIND, Session, name_of
from ztproxy.store.records import RecordsUnavailableError

MOST = 500
"""Sessions looked at for one page."""


async def listed(sessions: Sessions | None, wanted: Listing, now: float) -> Lines:
    """Some of the sessions that are wanted; fewer than looked at, where others lie between."""
    if sessions is None:
        return Lines(problem="nobody logs in here: no `login` is configured")
    try:
        page = await sessions.records.listed(KIND, bytes.fromhex(wanted.cursor), MOST, now)
    except (RecordsUnavailableError, ValueError) as wrong:
        return Lines(problem=str(wrong))
    opened = ((key, record, sessions.sealed.opened(key, record)) for key, record in page.records)
    lines = tuple(
        _line(key, session, record.until)
        for key, record, session in opened
        if session is not None and _meant(session, wanted.subject, wanted.issuer)
    )
    return Lines(lines, None if page.cursor is None else page.cursor.hex())


async def revoked(sessions: Sessions | None, wanted: Revoking, now: float) -> Revoked:
    """End the sessions that are meant."""
    if sessions is None:
        return Revoked(problem="nobody logs in here: no `login` is configured")
    if [wanted.name is not None, wanted.subject is not None, wanted.all].count(True) != 1:
        return Revoked(problem="either a name, a subject or all sessions are meant")
    names: list[str] = [] if wanted.name is None else [wanted.name]
    cursor: str | None = "" if wanted.name is None else None
    while cursor is not None:
        page = await listed(sessions, Listing(wanted.subject, wanted.issuer, cursor), now)
        if page.problem:
            return Revoked(problem=page.problem)
        names += [line.name for line in page.sessions]
        cursor = page.cursor
    ended = 0
    try:
        for name in names:
            ended += await sessions.end_named(name, now)
    except RecordsUnavailableError as wrong:
        return Revoked(ended, str(wrong))
    return Revoked(ended)


def _meant(session: Session, subject: str | None, issuer: str | None) -> bool:
    return subject in {None, session.subject} and issuer in {None, session.issuer}


def _line(key: bytes, session: Session, until: float) -> Line:
    return Line(
        name_of(key),
        session.issuer,
        session.subject,
        session.display,
        session.host,
        session.route,
        session.created_at,
        session.used_at,
        session.ends_at,
        until,
    )
