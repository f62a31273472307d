"""Sessions that open streams rest on: whether they still count, and say the same about the person."""

from collections.abc import Mapping
from typing import Protocol

from ztproxy.identity.sessions.entry import Entry
from ztproxy.identity.sessions.upkeep import Upkeep
from ztproxy.model import Reason, Refusal, Token
from ztproxy.store.records import RecordsUnavailableError

UNSURE = 30.0
"""Seconds that open streams outlive the store's last word on their sessions."""
_OF_THE_TOKEN = frozenset(
    {"acr", "amr", "at_hash", "auth_time", "azp", "c_hash", "exp", "iat", "jti", "nbf", "nonce", "s_hash", "sid"}
)
"""Claims about a token, or about how it came about, not about a person."""


class Named(Protocol):
    """Finds sessions by their names."""

    async def named(self, name: str, now: float, monotonic: float) -> Entry | None: ...


class Streams:
    """The sessions of open streams.

    Args:
        sessions: where they are found.
        upkeep: an open stream is use, and its claims are refreshed like others.
    """

    def __init__(self, sessions: Named, upkeep: Upkeep) -> None:
        self._sessions = sessions
        self._upkeep = upkeep
        self._unsure_since: float | None = None
        """Since when the store has not answered."""

    async def still(self, token: Token, now: float, monotonic: float) -> Refusal | None:
        """Why a session's token, which an open stream rests on, counts no more.

        A stream goes on without the store's word for `UNSURE` seconds.
        """
        try:
            entry = await self._sessions.named(token.session or "", now, monotonic)
            refusal = Refusal(Reason.SESSION_ENDED) if entry is None else await self._over(entry, token, now, monotonic)
        except RecordsUnavailableError as wrong:
            if self._unsure_since is None:
                self._unsure_since = monotonic
            late = monotonic - self._unsure_since >= UNSURE
            return Refusal(Reason.SESSION_STORE_UNAVAILABLE, cause=str(wrong)) if late else None
        self._unsure_since = None
        return refusal

    async def _over(self, entry: Entry, token: Token, now: float, monotonic: float) -> Refusal | None:
        refusal = await self._upkeep.renewed(entry, now, monotonic, wait=False)
        if refusal is not None or entry.ended:
            return refusal or Refusal(Reason.SESSION_ENDED)
        if not same_person(entry.session.claims, token.claims):
            return Refusal(Reason.SESSION_CHANGED)
        self._upkeep.used(entry, now)
        return None


def same_person(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    """Whether claims say the same about the person."""
    return _of_the_person(before) == _of_the_person(after)


def _of_the_person(claims: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in claims.items() if name not in _OF_THE_TOKEN}
