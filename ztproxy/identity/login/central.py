"""The central login host: people log in here once, and are handed over to each application's host."""

import msgspec

from ztproxy.identity.login import central_request
from ztproxy.identity.login.answers import failed
from ztproxy.identity.login.context import Context
from ztproxy.identity.login.handover import hand_over
from ztproxy.identity.login.starting import at_issuer
from ztproxy.model import Answer, Arrived, Reason, Refusal

_AGAIN = "This address is part of a login that is over. Please start again from the page that you wanted."
_BAD_REQUEST = 400


class Central(msgspec.Struct, frozen=True):
    """Meets browsers that an application's host sends to log in."""

    context: Context

    async def __call__(self, arrived: Arrived) -> Answer | Refusal:
        """On to the application with the session that is here, where that will do; else to the issuer."""
        host = arrived.authority.decode("ascii")
        context = self.context
        central = any(issuer.config.host == host for issuer in context.issuers.values())
        if arrived.method != "GET" or not central or arrived.scheme != "https":
            return Refusal(Reason.ROUTE_NOT_FOUND)
        asked = central_request.read(context, arrived)
        issuer = None if asked is None else context.issuers.get(asked.issuer)
        if asked is None or issuer is None or context.routes.get(asked.waits_for.route) != asked.issuer:
            return failed(_AGAIN, "no request of one of our hosts", retry="/", status=_BAD_REQUEST)
        if issuer.config.host != host:
            return failed(_AGAIN, "people log in at another host now", retry="/", status=_BAD_REQUEST)
        if asked.prompt is None:
            found = await context.sessions.find(arrived, asked.issuer)
            if isinstance(found, Refusal):
                return found
            if found is not None and asked.wanted.met(found.session.claims, arrived.wall):
                return await hand_over(context, asked.waits_for, found.session, (), arrived.wall)
        return await at_issuer(
            context,
            arrived,
            issuer,
            asked.waits_for.route,
            returns="/",
            wanted=asked.wanted,
            prompt=asked.prompt,
            hint=asked.hint,
            waits_for=asked.waits_for,
        )
