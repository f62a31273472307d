"""What a refused client sees: RFC 9457 JSON, or a plain page where its Accept prefers one.

Nothing of a request stands in it but our own id and details that we wrote; all of it is escaped all the same.
"""

import re
from collections.abc import Iterable

import msgspec

from ztproxy.model import Answer, Refusal
from ztproxy.page import COMMON, CONTENT_POLICY, Fact, Page

_UNSAFE = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
_QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_HTML = ("text/html", "application/xhtml+xml")
_JSON = ("application/problem+json", "application/json")


def render(refusal: Refusal, request_id: str, accept: Iterable[bytes], *, show_reasons: bool) -> Answer:
    """The answer to a refused request.

    Args:
        refusal: why; its `fields` go along, its `cause` never.
        request_id: ours.
        accept: the values of Accept.
        show_reasons: may the client see the policy's own reasons?
    """
    reasons = list(refusal.reasons) if show_reasons else []
    html = prefers_html(accept)
    body = _page(refusal, request_id, reasons) if html else _problem(refusal, request_id, reasons)
    kind = b"text/html; charset=utf-8" if html else b"application/problem+json"
    fields = [(b"content-type", kind), *COMMON, (b"content-security-policy", CONTENT_POLICY)]
    fields += [(name.lower(), _UNSAFE.sub(b" ", value)) for name, value in refusal.fields]
    return Answer(refusal.status, tuple(fields), body)


def prefers_html(accept: Iterable[bytes]) -> bool:
    """Whether HTML is asked for by name, and JSON is not preferred to it (RFC 9110 §12.5.1)."""
    html = problem = 0.0
    for part in b",".join(accept).decode("latin-1").lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        found = next((found for found in map(_QUALITY.fullmatch, parameters) if found), None)
        quality = float(found[1]) if found else 1.0
        if kind in _HTML:
            html = max(html, quality)
        elif kind in _JSON:
            problem = max(problem, quality)
    return html > 0 and html >= problem


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


def _page(refusal: Refusal, request_id: str, reasons: list[str]) -> bytes:
    page = Page(
        refusal.reason.title,
        paragraphs=(refusal.detail,) if refusal.detail else (),
        heading="Reasons",
        items=tuple(reasons),
        facts=(
            Fact("Status", str(refusal.status)),
            Fact("Reason", refusal.reason.word, code=True),
            Fact("Request", request_id, code=True),
        ),
    )
    return page.html(f"{refusal.status} ")
