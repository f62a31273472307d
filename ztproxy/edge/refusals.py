"""What a refused client sees: RFC 9457 JSON, or a plain page where its Accept prefers one.

Nothing of a request stands in it but our own id and details that we wrote; all of it is escaped all the same.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from ztproxy.model import Answer, Arrived, Reason, Refusal, Routed, Stage, Token
from ztproxy.page import COMMON, CONTENT_POLICY, SIGN_OUT, Fact, Form, Link, Page, person, prefers_html

_ABOUT_THE_PERSON = frozenset({Reason.POLICY_DENIED, Reason.POLICY_UNDEFINED, Reason.STEP_UP_FAILED})
"""What another account could change."""
_UNSAFE = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")


def render(
    refusal: Refusal, request_id: str, accept: Iterable[bytes], *, show_reasons: bool, at: Stage | None = None
) -> Answer:
    """The answer to a refused request.

    Args:
        refusal: why; its `fields` go along, its `cause` never.
        request_id: ours.
        accept: the values of Accept.
        show_reasons: may the client see the policy's own reasons?
        at: how far the request had come: a person who has logged in is told as whom.
    """
    reasons = list(refusal.reasons) if show_reasons else []
    if prefers_html(accept):
        page = _page(refusal, request_id, reasons, at)
        kind, body, policy = b"text/html; charset=utf-8", page.html(f"{refusal.status} "), page.content_policy
    else:
        kind, body, policy = b"application/problem+json", _problem(refusal, request_id, reasons), CONTENT_POLICY
    fields = [(b"content-type", kind), *COMMON, (b"content-security-policy", policy)]
    fields += [(name.lower(), _UNSAFE.sub(b" ", value)) for name, value in refusal.fields]
    return Answer(refusal.status, tuple(fields), body)


def _problem(refusal: Refusal, request_id: str, reasons: list[str]) -> bytes:
    document: dict[str, object] = {
        "type": f"urn:ztproxy:reason:{refusal.reason.word}",
        "title": refusal.reason.title,
        "status": refusal.status,
        "reason": refusal.reason.word,
        "request_id": request_id,
    }
    if refusal.detail:
        document["detail"] = refusal.detail
    if reasons:
        document["reasons"] = reasons
    return msgspec.json.encode(document) + b"\n"


def _page(refusal: Refusal, request_id: str, reasons: list[str], at: Stage | None) -> Page:
    token = None if at is None or isinstance(at, Arrived | Routed) else at.token
    told = (
        () if token is None or token.session is None else (Fact("Signed in as", person(token.claims, token.subject)),)
    )
    return Page(
        refusal.reason.title,
        paragraphs=(refusal.detail,) if refusal.detail else (),
        heading="Reasons",
        items=tuple(reasons),
        facts=(
            *told,
            Fact("Status", str(refusal.status)),
            Fact("Reason", refusal.reason.word, code=True),
            Fact("Request", request_id, code=True),
        ),
        actions=tuple(_actions(refusal, at, token)),
        mood="refused",
    )


def _actions(refusal: Refusal, at: Stage | None, token: Token | None) -> Iterator[Link | Form]:
    """What a person can do about it."""
    if refusal.retry:
        yield Link("Try again", refusal.retry)
    if at is None or isinstance(at, Arrived) or token is None or token.session is None:
        return
    if refusal.reason not in _ABOUT_THE_PERSON:
        return
    arrived = at.arrived
    again = arrived.path if arrived.method == "GET" else "/"
    if arrived.query and arrived.method == "GET":
        again += f"?{arrived.query}"
    yield Form("Use another account", SIGN_OUT, (("again", again),), leads_away=True)
    yield Link("Sign out", SIGN_OUT)
