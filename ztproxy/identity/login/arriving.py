"""The end of every login: a session in this browser, and the way to the page that was asked for."""

from ztproxy.identity.login import interrupted, just_done
from ztproxy.identity.login.answers import redirect
from ztproxy.identity.login.context import Context
from ztproxy.identity.login.transaction import Transaction
from ztproxy.identity.sessions import cookie
from ztproxy.identity.sessions.session import Session
from ztproxy.model import Answer, Arrived, Fields, Reason, Refusal
from ztproxy.store.records import RecordsUnavailableError

_TOO_WEAK = "The identity provider did not log you in in the way that this page asks for."


async def begin(context: Context, arrived: Arrived, made: Session, now: float) -> Fields | Refusal:
    """Begin a session in this browser, in place of the one that it has."""
    before = cookie.value_of(arrived.own_cookies)
    return await context.sessions.begin(made, before if isinstance(before, bytes) else None, now)


async def arrive(context: Context, arrived: Arrived, found: Transaction, fields: Fields, now: float) -> Answer:
    """To the page that was asked for, with the session's cookie; a form that was interrupted is sent on from there."""
    before = just_done.times(
        context.ring, found.host, arrived.own_cookies, issuer=found.issuer, wanted=found.wanted, now=now
    )
    done = just_done.note(context.ring, found.host, just_done.Done(found.issuer, found.wanted, now, before + 1))
    if found.kept is None:
        return redirect(f"https://{found.host}{found.returns}", (*fields, *done))
    form = await interrupted.released(context, found.kept, now)
    return interrupted.page(form, found.returns).answer(200, (*fields, *done))


def too_weak(cause: str, found: Transaction) -> Refusal:
    """Somebody logged in, but not as was asked: there is no session, and nobody is sent back to try by itself."""
    return Refusal(Reason.STEP_UP_FAILED, _TOO_WEAK, cause, retry=found.returns)


def unavailable(wrong: RecordsUnavailableError) -> Refusal:
    """The store of sessions does not answer: nobody can log in or out."""
    reason = Reason.SESSIONS_FULL if wrong.full else Reason.SESSION_STORE_UNAVAILABLE
    return Refusal(reason, cause=str(wrong), fields=((b"retry-after", b"10"),))
