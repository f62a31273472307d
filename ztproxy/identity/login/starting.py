"""Sending a browser to log in: at the issuer, or at the central login host where there is one."""

from ztproxy.identity.issuers.metadata import Metadata
from ztproxy.identity.login import central_request, just_done
from ztproxy.identity.login.answers import away, failed, redirect
from ztproxy.identity.login.authorization import request_url
from ztproxy.identity.login.context import Context, LoginIssuer
from ztproxy.identity.login.returning import START
from ztproxy.identity.login.transaction import For, begun, remembered
from ztproxy.model import Answer, Arrived, Fields, Refusal, StepUp

_CIRCLE = (
    "You logged in a moment ago, and still it does not count here. Please try again; if it happens again, tell your "
    "administrator."
)
_PLAIN = "People log in over https only; this address was asked for over http."

ANOTHER_ACCOUNT = "select_account"
"""The prompt that lets a person choose who they are."""


async def send(
    context: Context,
    arrived: Arrived,
    route: str,
    *,
    returns: str,
    wanted: StepUp | None = None,
    prompt: str | None = None,
    hint: str | None = None,
    kept: str | None = None,
) -> Answer | Refusal:
    """The answer that sends a browser to log in for a route. Suspends only while nothing is known of the issuer.

    Nothing is kept here: what the login needs travels in the browser's own cookie.

    Args:
        context: what logins rest on.
        arrived: what the browser asked.
        route: the route that it is to log in for.
        returns: the page to come back to, of the same host.
        wanted: what the policy asks of the login.
        prompt: what the issuer shall ask, in place of what is configured.
        hint: who is expected.
        kept: names what a form held that is interrupted.
    """
    issuer = context.issuers[context.routes[route]]
    demand = issuer.wanted(wanted)
    host = arrived.authority.decode("ascii")
    if arrived.scheme != "https":
        return failed(_PLAIN, "a login over http", retry=returns)
    before = just_done.times(
        context.ring, host, arrived.own_cookies, issuer=issuer.config.issuer, wanted=demand, now=arrived.wall
    )
    if before >= just_done.MOST and prompt is None:
        cause = "the browser comes from a login that was to do for this, and it does not"
        return failed(_CIRCLE, cause, retry=returns, fields=just_done.forget())
    if issuer.config.host in (None, host):
        return await at_issuer(
            context, arrived, issuer, route, returns=returns, wanted=demand, prompt=prompt, hint=hint, kept=kept
        )
    return central_request.send(
        context, arrived, issuer, route, returns=returns, wanted=demand, prompt=prompt, hint=hint, kept=kept
    )


async def at_issuer(
    context: Context,
    arrived: Arrived,
    issuer: LoginIssuer,
    route: str,
    *,
    returns: str,
    wanted: StepUp,
    prompt: str | None = None,
    hint: str | None = None,
    kept: str | None = None,
    waits_for: For | None = None,
) -> Answer | Refusal:
    """As `send`, to the issuer itself; `waits_for` is whom the central login host does it for."""
    metadata = await issuer.metadata.get(arrived.wall, arrived.monotonic)
    if isinstance(metadata, Refusal):
        return away(metadata.cause, retry=returns)
    if metadata.authorization_endpoint is None:
        return away(f"{issuer.config.issuer} names no `authorization_endpoint`", retry=returns)
    if prompt == ANOTHER_ACCOUNT:
        prompt = issuer.config.another_account or _asking_anew(metadata)
    for page in (returns, START):
        transaction = begun(
            issuer=issuer.config.issuer,
            client_id=issuer.config.client_id,
            route=route,
            host=arrived.authority.decode("ascii"),
            returns=page,
            now=arrived.wall,
            wanted=wanted,
            kept=kept,
            waits_for=waits_for,
        )
        fields: Fields | None = remembered(context.ring, transaction, arrived.own_cookies, arrived.wall)
        if fields is not None:
            return redirect(
                request_url(metadata.authorization_endpoint, issuer.config, transaction, prompt, hint), fields
            )
    return failed("This login cannot be described.", "what the login has to be like is too long for a cookie", retry="")


def _asking_anew(metadata: Metadata) -> str:
    """The prompt by which an issuer lets somebody be another: to choose, where it knows that, else to log in anew."""
    known = metadata.prompt_values_supported
    return ANOTHER_ACCOUNT if known is not None and ANOTHER_ACCOUNT in known else "login"
