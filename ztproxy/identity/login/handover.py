"""From the central login host to an application's host: a code that is good once, for half a minute, in one browser.

The code is 256 bits, and worth nothing without the cookie that the application's host set before: whoever finds it in a
log or a history has nothing.
"""

import hmac
import re
import secrets
from urllib.parse import parse_qsl

import msgspec

from ztproxy.identity.login import transaction
from ztproxy.identity.login.answers import failed, redirect
from ztproxy.identity.login.arriving import arrive, begin, too_weak, unavailable
from ztproxy.identity.login.context import Context
from ztproxy.identity.login.transaction import For, Transaction
from ztproxy.identity.sessions.session import Session
from ztproxy.model import Answer, Arrived, Fields, Reason, Refusal
from ztproxy.store.records import Record, RecordsUnavailableError

PATH = "/.well-known/ztproxy/handover"
LASTS = 30.0
"""Seconds."""
_HANDED = b"h"
"""What the keys of these records begin with."""
_PURPOSE = "handover"
_SECRET = r"[A-Za-z0-9_-]{43}"  # noqa: S105 - its form
_AGAIN = "This login was not begun in this browser, or it took too long, or it is over already. Please start again."
_BAD_REQUEST = 400


class Handed(msgspec.Struct, frozen=True):
    """What is handed over."""

    waits_for: For
    session: Session
    """Of the central login host; it holds no refresh token: only one session can use that."""


async def hand_over(context: Context, waits_for: For, session: Session, fields: Fields, now: float) -> Answer | Refusal:
    """Send a browser from the central login host on to the application's.

    Args:
        context: what logins rest on.
        waits_for: the login that waits there.
        session: the browser's session here.
        fields: that go along.
        now: seconds since 1970.
    """
    code = secrets.token_urlsafe(32)
    key = _HANDED + context.ring.names(_PURPOSE, code.encode())[0]
    given = msgspec.structs.replace(session, refresh_token=None, refresh_at=None, token_expires_at=None)
    sealed = context.ring.seal(_PURPOSE, key, msgspec.json.encode(Handed(waits_for, given)))
    try:
        await context.records.add(key, sealed, now + LASTS, now)
    except RecordsUnavailableError as wrong:
        return unavailable(wrong)
    return redirect(f"https://{waits_for.host}{PATH}?code={code}&state={waits_for.state}", fields)


class Handover(msgspec.Struct, frozen=True):
    """Meets browsers at the application's host that come from the central login host."""

    context: Context

    async def __call__(self, arrived: Arrived) -> Answer | Refusal:
        """A session of this host and the way to the page that was asked for; or why not."""
        if arrived.method != "GET" or not self.context.logs_in_at(arrived):
            return Refusal(Reason.ROUTE_NOT_FOUND)
        read = _read(arrived.query)
        if read is None:
            return failed(_AGAIN, "no handover", retry="/", status=_BAD_REQUEST)
        code, state = read
        host = arrived.authority.decode("ascii")
        found = transaction.recalled(self.context.ring, state, host, arrived.own_cookies, arrived.wall)
        if found is None:
            return failed(_AGAIN, "no cookie of the login that waits", retry="/", status=_BAD_REQUEST)
        met = await self._taken(arrived, code, found)
        return msgspec.structs.replace(met, fields=(*met.fields, *transaction.forgotten(state)))

    async def _taken(self, arrived: Arrived, code: str, found: Transaction) -> Answer | Refusal:
        context, now = self.context, arrived.wall
        try:
            handed = await self._handed(code, now)
        except RecordsUnavailableError as wrong:
            return unavailable(wrong)
        if handed is None or not _is_for(handed, found):
            return failed(_AGAIN, "no such handover, or for another login", retry=found.returns, status=_BAD_REQUEST)
        given = handed.session
        if context.counts(found.route, given.issuer, given.client_id) is None or given.issuer != found.issuer:
            return failed(_AGAIN, "the configuration has changed meanwhile", retry=found.returns)
        if not found.wanted.met(given.claims, now):
            return too_weak("the central login host handed over a weaker or older login", found)
        made = msgspec.structs.replace(
            given, host=arrived.host, route=found.route, certificate=context.sessions.binding(arrived)
        )
        fields = await begin(context, arrived, made, now)
        return fields if isinstance(fields, Refusal) else await arrive(context, arrived, found, fields, now)

    async def _handed(self, code: str, now: float) -> Handed | None:
        """What is handed over for a code, and never again for it."""
        for name in self.context.ring.names(_PURPOSE, code.encode()):
            record: Record | None = await self.context.records.take(_HANDED + name, now)
            if record is not None:
                plain = self.context.ring.open(_PURPOSE, _HANDED + name, record.value)
                return None if plain is None else msgspec.json.decode(plain, type=Handed)
        return None


def _is_for(handed: Handed, found: Transaction) -> bool:
    said, waiting = handed.waits_for, For(found.state, found.host, found.route)
    same_state = hmac.compare_digest(said.state.encode(), waiting.state.encode())
    return same_state and said.host == waiting.host and said.route == waiting.route


def _read(query: str) -> tuple[str, str] | None:
    if not re.fullmatch(rf"code={_SECRET}&state={_SECRET}", query):
        return None
    said = dict(parse_qsl(query))
    return said["code"], said["state"]
