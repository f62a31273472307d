"""The pages that the proxy itself shows to people: refused, logged out, could not log in.

Plain HTML without script, readable without style, by keyboard and by screen reader, in light and dark. All text is
escaped here, so that who fills a page in cannot forget it.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape
from typing import Any, Final, Literal

import msgspec

from ztproxy.model import Answer, Fields

COMMON = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin"),
)
"""On every answer of ours. Under `no-referrer` a browser would send `Origin: null` with our own forms."""
SIGN_OUT: Final = "/.well-known/ztproxy/logout"
"""Where a person signs out; a form with `again` logs in anew, and asks which account to take."""
_STYLE = (
    ":root{color-scheme:light dark;--back:#f3f5f8;--card:#fff;--text:#1b1f27;--soft:#565f70;--line:#d5dae3;"
    "--accent:#0b57d0;--on:#fff;--bad:#b3261e;--good:#146c2e}"
    "@media(prefers-color-scheme:dark){:root{--back:#0f1115;--card:#191c22;--text:#e9ecf2;--soft:#a5aebf;"
    "--line:#353b47;--accent:#a8c7fa;--on:#062e6f;--bad:#f2b8b5;--good:#6dd58c}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;justify-content:center;"
    "padding:1.5rem;font:1rem/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;background:var(--back);"
    "color:var(--text)}"
    "main{width:100%;max-width:34rem;background:var(--card);border:1px solid var(--line);border-radius:1rem;"
    "padding:2rem;box-shadow:0 1px 2px rgb(0 0 0/.06),0 8px 24px rgb(0 0 0/.06)}"
    "svg{display:block;width:2.5rem;height:2.5rem;margin:0 0 1rem;fill:none;stroke:var(--accent);stroke-width:1.8;"
    "stroke-linecap:round;stroke-linejoin:round}svg.refused{stroke:var(--bad)}svg.done{stroke:var(--good)}"
    "h1{font-size:1.45rem;line-height:1.25;margin:0 0 .75rem;font-weight:650;letter-spacing:-.01em}"
    "h2{font-size:1rem;margin:1.25rem 0 .25rem}p{margin:0 0 .75rem}ul{margin:0 0 .75rem;padding-left:1.25rem}"
    ".actions{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.5rem 0 0}form{margin:0}"
    "a.action,button{display:inline-block;font:inherit;font-weight:550;padding:.55rem 1.1rem;border-radius:.6rem;"
    "border:1px solid var(--accent);background:none;color:var(--accent);text-decoration:none;cursor:pointer}"
    ".actions>:first-child.action,.actions>:first-child button{background:var(--accent);color:var(--on)}"
    "a.action:hover,button:hover{text-decoration:underline}"
    ":focus-visible{outline:3px solid var(--accent);outline-offset:2px}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:1.5rem 0 0;padding:1rem 0 0;"
    "border-top:1px solid var(--line);font-size:.875rem;color:var(--soft)}dt{font-weight:600}"
    "dd{margin:0;overflow-wrap:anywhere}code{font:.8125rem/1.5 ui-monospace,Menlo,Consolas,monospace}"
    "@media(max-width:28rem){main{padding:1.25rem}dl{grid-template-columns:1fr}dd{margin:0 0 .5rem}}"
    "@media(forced-colors:active){main,a.action,button{border-color:CanvasText}}"
)
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'; form-action "
CONTENT_POLICY = f"{_POLICY}'self'".encode()
_LEADING_AWAY = f"{_POLICY}'self' https:".encode()
"""Browsers hold redirects that follow a form to `form-action` too: the issuer's, or the application's own."""
Mood = Literal["", "refused", "done", "asks"]
_PICTURES: Final[dict[Mood, str]] = {
    "": "",
    "refused": '<circle cx="12" cy="12" r="9"/><path d="M12 7.5v5.5M12 16.4v.1"/>',
    "done": '<circle cx="12" cy="12" r="9"/><path d="m8 12.3 2.8 2.8L16 9.5"/>',
    "asks": '<rect x="5" y="10.5" width="14" height="9.5" rx="2.2"/><path d="M8 10.5V8a4 4 0 0 1 8 0v2.5M12 14.4v2"/>',
}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""With what would turn or hide the text beside it."""
_LONGEST_NAME = 128
_QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_HTML = ("text/html", "application/xhtml+xml")
_JSON = ("application/problem+json", "application/json")


class Fact(msgspec.Struct, frozen=True):
    """A term and what it is here."""

    term: str
    value: str
    code: bool = False
    """It is for machines, and shown so."""


class Link(msgspec.Struct, frozen=True):
    """Somewhere to go."""

    text: str
    target: str


class Form(msgspec.Struct, frozen=True):
    """Something to do: a button, which posts these fields."""

    text: str
    target: str
    fields: tuple[tuple[str, str], ...] = ()
    multipart: bool = False
    """Sent as multipart/form-data (RFC 7578)."""
    leads_away: bool = False
    """Its answer may send the browser on to another host."""


class Page(msgspec.Struct, frozen=True):
    """What is on a page."""

    title: str
    paragraphs: tuple[str, ...] = ()
    heading: str = ""
    """Over the items."""
    items: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    actions: tuple[Link | Form, ...] = ()
    """The first is the one that most people want."""
    mood: Mood = ""

    def html(self, prefix: str = "") -> bytes:
        """The page; `prefix` comes before its title in the window's."""
        title = escape(self.title)
        body = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in self.paragraphs)
        if self.items:
            listed = "".join(f"<li>{escape(item)}</li>" for item in self.items)
            body += f"<h2>{escape(self.heading)}</h2><ul>{listed}</ul>"
        if self.actions:
            body += f'<div class="actions">{"".join(map(_action, self.actions))}</div>'
        if self.facts:
            body += f"<dl>{''.join(map(_fact, self.facts))}</dl>"
        page = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(prefix)}{title}</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta name="color-scheme" content="light dark"><style>{_STYLE}</style></head>'
            f"<body><main>{self._picture()}<h1>{title}</h1>{body}</main></body></html>\n"
        )
        return page.encode("utf-8", "replace")

    def answer(self, status: int, fields: Fields = ()) -> Answer:
        """The page as a response."""
        kind = (b"content-type", b"text/html; charset=utf-8")
        return Answer(status, (kind, *COMMON, (b"content-security-policy", self.content_policy), *fields), self.html())

    @property
    def content_policy(self) -> bytes:
        """What the page may do (Content Security Policy Level 3)."""
        away = any(isinstance(action, Form) and action.leads_away for action in self.actions)
        return _LEADING_AWAY if away else CONTENT_POLICY

    def _picture(self) -> str:
        drawn = _PICTURES[self.mood]
        return f'<svg class="{self.mood}" viewBox="0 0 24 24" aria-hidden="true">{drawn}</svg>' if drawn else ""


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


def person(claims: Mapping[str, Any], subject: str) -> str:
    """What to call somebody, by what their issuer says of them: short and printable."""
    for name in ("name", "preferred_username", "email"):
        value = claims.get(name)
        if isinstance(value, str) and value.strip():
            return _UNPRINTABLE.sub(" ", value)[:_LONGEST_NAME].strip()
    return _UNPRINTABLE.sub(" ", subject)[:_LONGEST_NAME]


def _fact(fact: Fact) -> str:
    value = escape(fact.value)
    return f"<dt>{escape(fact.term)}</dt><dd>{f'<code>{value}</code>' if fact.code else value}</dd>"


def _action(action: Link | Form) -> str:
    if isinstance(action, Link):
        return f'<a class="action" href="{escape(action.target)}">{escape(action.text)}</a>'
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in action.fields
    )
    encoding = ' enctype="multipart/form-data"' if action.multipart else ""
    return (
        f'<form method="post" action="{escape(action.target)}"{encoding} accept-charset="utf-8">{hidden}'
        f'<button type="submit">{escape(action.text)}</button></form>'
    )
