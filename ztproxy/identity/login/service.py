"""Logins as the stage sees them: what becomes of a request that nobody is known for, and our own paths."""

from collections.abc import Mapping
from typing import Self

import msgspec

from ztproxy.config.settings import Settings
from ztproxy.identity.kept import Clock
from ztproxy.identity.login import authorization, back_channel, central_request, handover, interrupted, logout
from ztproxy.identity.login.answers import not_here
from ztproxy.identity.login.back_channel import BackChannel
from ztproxy.identity.login.callback import Callback
from ztproxy.identity.login.central import Central
from ztproxy.identity.login.context import Context, LoginIssuer, hosts_of
from ztproxy.identity.login.handover import Handover
from ztproxy.identity.login.logout import LoggedOut, SignOut
from ztproxy.identity.login.navigation import navigates, submits, values
from ztproxy.identity.login.refreshing import IssuerRefresh
from ztproxy.identity.login.returning import asked_for
from ztproxy.identity.login.starting import send
from ztproxy.identity.sessions.service import Sessions
from ztproxy.model import Answer, Arrived, Identified, Meet, Met, Refusal, Routed, StepUp, WithContent
from ztproxy.page import SIGN_OUT

_FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data")


class Logins(msgspec.Struct, frozen=True):
    """All that browsers log in by. Make one with `build`."""

    context: Context
    refresh: IssuerRefresh
    """Keeps their sessions' claims fresh."""

    @classmethod
    def build(cls, settings: Settings, issuers: Mapping[str, LoginIssuer], sessions: Sessions, clock: Clock) -> Self:
        """From the configuration, with the issuers that browsers log in at; their sessions are refreshed by them."""
        routes = {route.name: route.login for route in settings.routes if route.login is not None}
        context = Context(issuers, routes, hosts_of(settings.routes), sessions, sessions.records, sessions.ring, clock)
        refresh = IssuerRefresh(context)
        sessions.upkeep.refresh_by(refresh)
        return cls(context, refresh)

    @property
    def reserved(self) -> Mapping[str, Meet]:
        """Our own paths, and what meets the requests for them."""
        context = self.context
        return {
            authorization.CALLBACK: Callback(context),
            central_request.PATH: Central(context),
            handover.PATH: Handover(context),
            SIGN_OUT: SignOut(context),
            logout.LOGGED_OUT: LoggedOut(context),
            back_channel.PATH: BackChannel(context),
        }

    async def required(self, routed: Routed) -> Met:
        """How a request is met that needs a login, on a route with one: sent there where a person sees it, else 401."""
        return await self._met(routed, None, None, not_here(routed.arrived))

    async def step_up(self, identified: Identified, refusal: Refusal) -> Met:
        """Likewise, where the policy finds the login too weak, too old or missing; `refusal` says so to scripts."""
        return await self._met(identified, refusal.step_up, _hint(identified), refusal)

    async def _met(self, at: Routed | Identified, wanted: StepUp | None, hint: str | None, refusal: Refusal) -> Met:
        arrived, context = at.arrived, self.context
        if navigates(arrived):
            return await send(context, arrived, at.route, returns=asked_for(arrived), wanted=wanted, hint=hint)
        if not submits(arrived):
            return refusal

        async def on(kept: str) -> Answer | Refusal:
            returns = asked_for(arrived)
            return await send(context, arrived, at.route, returns=returns, wanted=wanted, hint=hint, kept=kept)

        if not _is_kept(arrived):
            return await on(interrupted.LOST)

        async def answer(content: bytes) -> Answer | Refusal:
            return await on(await interrupted.keep(context, arrived, content))

        return WithContent(interrupted.MAXIMUM, answer, at)


def _is_kept(arrived: Arrived) -> bool:
    """Whether a form's content is worth reading: its kind and its length say that it can be kept."""
    kinds = [kind.partition(b";")[0].strip().lower() for kind in values(arrived, b"content-type")]
    length = arrived.content_length
    return len(kinds) == 1 and kinds[0] in _FORMS and (length is None or length <= interrupted.MAXIMUM)


def _hint(identified: Identified) -> str | None:
    """Who is expected at the issuer."""
    token = identified.token
    for name in ("preferred_username", "email"):
        value = None if token is None else token.claims.get(name)
        if isinstance(value, str) and value.isprintable() and len(value) <= 256:  # noqa: PLR2004 - of an address
            return value
    return None
