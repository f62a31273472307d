"""How an application's host asks the central login host to log somebody in.

The request is sealed, so that the central host logs people in for our own hosts alone, and for nobody's page. It names
a login that waits at the application's host, in a cookie there: the answer is worth nothing in another browser.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import parse_qsl

import msgspec

from ztproxy.identity.login.answers import failed, redirect
from ztproxy.identity.login.context import Context, LoginIssuer
from ztproxy.identity.login.returning import START
from ztproxy.identity.login.transaction import LIFETIME, For, begun, remembered
from ztproxy.model import Answer, Arrived, Refusal, StepUp

PATH = "/.well-known/ztproxy/login"
_PURPOSE = "login for another host"
_LARGEST = 8192


class Asked(msgspec.Struct, frozen=True):
    """What is asked of the central login host."""

    waits_for: For
    issuer: str
    wanted: StepUp
    prompt: str | None
    hint: str | None
    at: float
    """Seconds since 1970."""


def send(
    context: Context,
    arrived: Arrived,
    issuer: LoginIssuer,
    route: str,
    *,
    returns: str,
    wanted: StepUp,
    prompt: str | None,
    hint: str | None,
    kept: str | None,
) -> Answer | Refusal:
    """The answer that sends a browser to the central login host; as `starting.send`."""
    login_host = issuer.config.host or ""
    host = arrived.authority.decode("ascii")
    for page in (returns, START):
        transaction = begun(
            issuer=issuer.config.issuer,
            client_id=issuer.config.client_id,
            route=route,
            host=host,
            returns=page,
            now=arrived.wall,
            wanted=wanted,
            kept=kept,
        )
        asked = Asked(
            For(transaction.state, host, route), issuer.config.issuer, wanted, prompt, hint, transaction.started_at
        )
        sealed = context.ring.seal(_PURPOSE, login_host.encode(), msgspec.json.encode(asked))
        fields = remembered(context.ring, transaction, arrived.own_cookies, arrived.wall)
        if fields is not None and len(sealed) < _LARGEST // 2:
            value = urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")
            return redirect(f"https://{login_host}{PATH}?for={value}", fields)
    return failed("This login cannot be described.", "what the login has to be like is too long for a cookie", retry="")


def read(context: Context, arrived: Arrived) -> Asked | None:
    """What is asked of this host by one of ours, if it was not long ago."""
    try:
        pairs = parse_qsl(arrived.query, strict_parsing=True, max_num_fields=2) if len(arrived.query) < _LARGEST else []
        if len(pairs) != 1 or pairs[0][0] != "for":
            return None
        value = pairs[0][1].encode("ascii")
        sealed = urlsafe_b64decode(value + b"=" * (-len(value) % 4))
        plain = context.ring.open(_PURPOSE, arrived.authority, sealed)
        asked = None if plain is None else msgspec.json.decode(plain, type=Asked)
    except ValueError:
        return None
    return asked if asked is not None and 0 <= arrived.wall - asked.at < LIFETIME else None
