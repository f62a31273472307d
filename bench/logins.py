"""Browsers' sessions, begun before a run: what a login would have left in the storage, and the cookies for it."""

import asyncio
import pathlib
import time
from typing import Any

import credentials
import jwt

from ztproxy.config.sessions import Sessions as Settings
from ztproxy.identity.issuers.kept import Clock
from ztproxy.identity.sessions.service import Sessions
from ztproxy.identity.sessions.session import Session
from ztproxy.model import Refusal
from ztproxy.store.records_sqlite import SqliteRecords
from ztproxy.store.ring import load_or_create
from ztproxy.store.shared_records import SharedRecords

CLIENT = "bench"


def section(run: pathlib.Path, issuer: str) -> str:
    """What the configuration says of them."""
    return (
        f"login: [{{issuer: '{issuer}', client_id: {CLIENT}, client_authentication: none}}]\n"
        f"sessions: {{storage: 'sqlite:{run}/state/sessions.db'}}"
    )


def login(token: str, host: str) -> Session:
    """The login of somebody of whom the issuer says what a token of the run says."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    now = time.time()
    return Session(
        *(claims["iss"], CLIENT, claims["sub"], claims, (CLIENT,), host, "items", now, now, now + 43200.0, token),
        issued_at=float(claims["iat"]),
    )


async def cookie(sessions: Sessions, session: Session) -> str:
    """The cookie of a session that begins now."""
    fields = await sessions.begin(session, None, time.time())
    if isinstance(fields, Refusal):
        raise SystemExit(f"no session began: {fields.reason.word} ({fields.cause})")
    return fields[0][1].decode().partition(";")[0]


def begin(run: pathlib.Path, issuer: str) -> None:
    """Begin one for each of the run's tokens, and write `cookies`."""

    async def all_of_them() -> list[str]:
        ring = load_or_create(run / "state" / "session.keys")
        records = SharedRecords(SqliteRecords(run / "state" / "sessions.db"))
        clock = Clock(wall=time.time, monotonic=time.monotonic)
        sessions = Sessions(records, ring, Settings(), {issuer: CLIENT}, clock)
        tokens = (run / "tokens").read_text().split()
        made = [await cookie(sessions, login(token, credentials.NAME)) for token in tokens]
        await sessions.close()
        return made

    (run / "cookies").write_text("\n".join(asyncio.run(all_of_them())))
