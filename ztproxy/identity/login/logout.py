"""Signing out: a page with a button, the end of the session here, and the end of the one at the issuer.

OpenID Connect RP-Initiated Logout 1.0. Nobody is signed out by a link: the button's form counts only when it comes from
a page of this very host.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import parse_qs, urlsplit

import msgspec
from authlib.common.urls import add_params_to_uri

from ztproxy.identity.login import just_done
from ztproxy.identity.login.answers import home, redirect
from ztproxy.identity.login.context import Context
from ztproxy.identity.login.navigation import from_this_host, origin_of
from ztproxy.identity.login.returning import START, local
from ztproxy.identity.login.starting import ANOTHER_ACCOUNT, send
from ztproxy.identity.sessions import cookie
from ztproxy.identity.sessions.session import Session
from ztproxy.model import Answer, Arrived, Fields, Met, Reason, Refusal, WithContent
from ztproxy.page import SIGN_OUT, Fact, Form, Link, Page

LOGGED_OUT = "/.well-known/ztproxy/logged-out"
_MAXIMUM = 8192
"""Octets of the form."""
_PURPOSE = "logged out"
_LARGEST_STATE = 1024
_LONGEST_HINT = 4096
"""Characters: servers refuse longer URLs, and without it the issuer asks the person."""
_FORGET_PAGES = (b"clear-site-data", b'"cache"')
"""What was shown to a person who has signed out is not shown again by the back button. Not `"cookies"`: a browser would
clear those of all hosts of the domain, other applications' too."""


class SignOut(msgspec.Struct, frozen=True):
    """Meets whoever wants to sign out."""

    context: Context

    async def __call__(self, arrived: Arrived) -> Met:
        """The page, by GET; what its button does, by POST."""
        if not self.context.logs_in_at(arrived):
            return Refusal(Reason.ROUTE_NOT_FOUND)
        if arrived.method == "POST":
            if not from_this_host(arrived):
                return Refusal(Reason.CROSS_SITE_REFUSED, "Sign out on the page of this host.", retry=SIGN_OUT)

            async def answer(content: bytes) -> Answer | Refusal:
                return await self._ended(arrived, content)

            return WithContent(_MAXIMUM, answer, arrived)
        if arrived.method not in ("GET", "HEAD"):
            return Refusal(Reason.ROUTE_NOT_FOUND)
        found = await self.context.sessions.find(arrived, None)
        return found if isinstance(found, Refusal) else _page(found.session if found else None).answer(200)

    async def _ended(self, arrived: Arrived, content: bytes) -> Answer | Refusal:
        context, now = self.context, arrived.wall
        value = cookie.value_of(arrived.own_cookies)
        session = await context.sessions.end(value, now) if isinstance(value, bytes) else None
        if isinstance(session, Refusal):
            return session
        if session is not None:
            others = await context.sessions.end_owned(
                session.issuer, op_session=session.op_session, subject=session.subject, now=now
            )
            if isinstance(others, Refusal):
                return others
        cleared: Fields = (*context.sessions.cleared(), *just_done.forget(), _FORGET_PAGES)
        said = parse_qs(content.decode("utf-8", "replace"), max_num_fields=8)
        if "again" in said:
            return await self._again(arrived, local(said["again"][0]), session, cleared)
        return redirect(self._goodbye(arrived, session), cleared)

    async def _again(
        self, arrived: Arrived, returns: str, session: Session | None, cleared: Fields
    ) -> Answer | Refusal:
        """To the issuer, to choose another account."""
        if session is None or self.context.counts(session.route, session.issuer, session.client_id) is None:
            return redirect(home(arrived, returns), cleared)
        met = await send(self.context, arrived, session.route, returns=returns, prompt=ANOTHER_ACCOUNT)
        return msgspec.structs.replace(met, fields=(*cleared, *met.fields))

    def _goodbye(self, arrived: Arrived, session: Session | None) -> str:
        """Where a browser goes whose session is over: to the issuer to end that one's too, or to our own page."""
        here = home(arrived, LOGGED_OUT)
        issuer = None if session is None else self.context.issuers.get(session.issuer)
        if issuer is None or session is None or not issuer.config.end_issuer_session:
            return here
        metadata = issuer.metadata.current(arrived.wall)
        if metadata is None or metadata.end_session_endpoint is None:
            return here
        back = here if issuer.config.host is None else f"https://{issuer.config.host}{LOGGED_OUT}"
        origin = origin_of(arrived).encode("ascii")
        state = urlsafe_b64encode(self.context.ring.seal(_PURPOSE, b"", origin)).rstrip(b"=").decode("ascii")
        hint = [("id_token_hint", session.id_token)] if len(session.id_token) <= _LONGEST_HINT else []
        parameters = [
            *hint,
            ("client_id", session.client_id),
            ("post_logout_redirect_uri", back),
            ("state", state),
        ]
        url: str = add_params_to_uri(metadata.end_session_endpoint, parameters)
        return url


class LoggedOut(msgspec.Struct, frozen=True):
    """Meets browsers that have signed out."""

    context: Context

    async def __call__(self, arrived: Arrived) -> Answer | Refusal:
        """The page that says so."""
        if arrived.method not in ("GET", "HEAD") or not self.context.logs_in_at(arrived):
            return Refusal(Reason.ROUTE_NOT_FOUND)
        return Page(
            "You are signed out",
            ("Close the browser if others use it too.",),
            actions=(Link("Sign in again", self._came_from(arrived) + START),),
            mood="done",
        ).answer(200)

    def _came_from(self, arrived: Arrived) -> str:
        """The host that was signed out of, sealed by us; this one where nothing of ours says so."""
        try:
            state = parse_qs(arrived.query, max_num_fields=8).get("state", [""])[0].encode("ascii")[:_LARGEST_STATE]
            sealed = urlsafe_b64decode(state + b"=" * (-len(state) % 4))
        except ValueError:
            sealed = b""
        origin = self.context.ring.open(_PURPOSE, b"", sealed)
        if origin is None or urlsplit(origin).scheme != b"https":
            return ""
        return origin.decode("ascii")


def _page(session: Session | None) -> Page:
    if session is None:
        return Page(
            "You are not signed in", ("There is nothing to sign out of here.",), actions=(Link("Start", START),)
        )
    return Page(
        "Sign out?",
        ("You will be signed out of all applications that you reached by this login.",),
        facts=(Fact("Signed in as", session.display),),
        actions=(Form("Sign out", SIGN_OUT, leads_away=True), Link("Stay signed in", START)),
        mood="asks",
    )
