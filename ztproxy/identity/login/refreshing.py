"""New claims for a session that goes on, by its refresh token (OpenID Connect Core 1.0 §12, RFC 6749 §6)."""

import asyncio
from typing import Any

import msgspec

from ztproxy.identity.issuers.metadata import Metadata
from ztproxy.identity.login.context import Context, LoginIssuer
from ztproxy.identity.login.grants import Away, GrantDenied, Tokens
from ztproxy.identity.login.id_token import Awaited, Unsound
from ztproxy.identity.login.made import further, known, times
from ztproxy.identity.sessions.refreshing import REFRESH_TIME, IssuerAway, Refreshed, RefreshRefused
from ztproxy.identity.sessions.session import Session
from ztproxy.model import Refusal
from ztproxy.page import person

_OVER = frozenset({"invalid_grant", "unauthorized_client", "access_denied"})
"""Errors that say that this session is not to go on; all others say that the issuer cannot do its work now."""
_SAME = ("iss", "sub", "azp")
"""What a new ID token may not change, where it says it at all (§12.2)."""

_OF_THE_LOGIN = ("auth_time", "acr", "amr", "sid")


class IssuerRefresh(msgspec.Struct, frozen=True):
    """Asks the issuer of a session; see `ztproxy.identity.sessions.refreshing.Refresh`."""

    context: Context

    async def refresh(self, session: Session, now: float) -> Refreshed | RefreshRefused | IssuerAway:
        """New claims; ends within `REFRESH_TIME`."""
        issuer = self.context.issuers.get(session.issuer)
        if issuer is None or issuer.config.client_id != session.client_id or session.refresh_token is None:
            return RefreshRefused("nobody logs in there any more in this way")
        try:
            async with asyncio.timeout(REFRESH_TIME - 1):
                return await self._asked(issuer, session, session.refresh_token, now)
        except TimeoutError:
            return IssuerAway("the issuer took too long")

    async def _asked(
        self, issuer: LoginIssuer, session: Session, refresh_token: str, now: float
    ) -> Refreshed | RefreshRefused | IssuerAway:
        clock = self.context.clock
        metadata = await issuer.metadata.get(now, clock.monotonic())
        if isinstance(metadata, Refusal):
            return IssuerAway(metadata.cause)
        tokens = await issuer.endpoints.grant(metadata, {"grant_type": "refresh_token", "refresh_token": refresh_token})
        if isinstance(tokens, Away):
            return IssuerAway(tokens.cause)
        if isinstance(tokens, GrantDenied):
            return RefreshRefused(tokens.cause) if tokens.error in _OVER else IssuerAway(tokens.cause)
        kept = msgspec.structs.replace(tokens, refresh_token=tokens.refresh_token or refresh_token)
        return await self._given(issuer, metadata, session, kept, clock.wall())

    async def _given(
        self, issuer: LoginIssuer, metadata: Metadata, session: Session, tokens: Tokens, now: float
    ) -> Refreshed | RefreshRefused | IssuerAway:
        if tokens.unverified_id_token is None:
            return await self._without_id_token(issuer, metadata, session, tokens, now)
        awaited = Awaited(session.issuer, session.client_id, None, tokens.access_token)
        who = await known(issuer, metadata, tokens, awaited, self.context.clock)
        if isinstance(who, Away):
            return IssuerAway(who.cause)
        if isinstance(who, Unsound):
            return IssuerAway(who.cause) if who.away is not None else RefreshRefused(who.cause)
        for name in _SAME:
            if name in who.token.claims and name in session.claims and who.claims[name] != session.claims[name]:
                return RefreshRefused(f"the new ID token has another `{name}`")
        if set(who.token.audience) != set(session.audience):
            return RefreshRefused("the new ID token has another `aud`")
        return self._refreshed(session, tokens, _goes_on(session.claims, who.claims), who.token.issued_at, now)

    async def _without_id_token(
        self, issuer: LoginIssuer, metadata: Metadata, session: Session, tokens: Tokens, now: float
    ) -> Refreshed | RefreshRefused | IssuerAway:
        """None comes with some issuers: the claims stay, but for those of userinfo."""
        claims = dict(session.claims)
        if issuer.config.userinfo:
            more = await further(issuer, metadata, tokens.access_token, session.subject)
            if isinstance(more, Away):
                return IssuerAway(more.cause)
            if isinstance(more, Unsound):
                return RefreshRefused(more.cause)
            claims |= more
        return self._refreshed(session, tokens, claims, session.issued_at, now)

    def _refreshed(
        self, session: Session, tokens: Tokens, claims: dict[str, Any], issued_at: float | None, now: float
    ) -> Refreshed:
        refresh_at, expires_at = times(tokens, None, now)
        return Refreshed(
            claims=claims,
            audience=session.audience,
            id_token=tokens.unverified_id_token or session.id_token,
            refresh_token=tokens.refresh_token,
            refresh_at=refresh_at,
            token_expires_at=expires_at,
            issued_at=issued_at,
            key_id=session.key_id,
            display=person(claims, session.subject),
        )


def _goes_on(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The new claims, but for how and when the person logged in: a refresh is no login, and steps nothing up."""
    said = {name: value for name, value in now.items() if name not in _OF_THE_LOGIN}
    return said | {name: before[name] for name in _OF_THE_LOGIN if name in before}
