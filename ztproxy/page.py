"""The pages that the proxy itself shows to people: refused, logged out, could not log in.

Plain HTML without script, readable without style, by keyboard and by screen reader, in light and dark. All text is
escaped here, so that who fills a page in cannot forget it.
"""

from base64 import b64encode
from hashlib import sha256
from html import escape

import msgspec

from ztproxy.model import Answer, Fields

COMMON = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""On every answer of ours."""
_STYLE = (
    ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:10vh auto;"
    "padding:0 1rem;background:#fff;color:#1a1a1a}code{overflow-wrap:anywhere}dt{font-weight:600}"
    "dd{margin:0 0 .75rem}a,button{color:#0b57d0}form{margin:0 0 .75rem}"
    "button{font:inherit;padding:.4rem .9rem;border:1px solid currentColor;border-radius:.4rem;background:none;"
    "cursor:pointer}@media(prefers-color-scheme:dark){body{background:#121212;color:#ededed}a,button{color:#a8c7fa}}"
)
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
).encode()


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


class Page(msgspec.Struct, frozen=True):
    """What is on a page."""

    title: str
    paragraphs: tuple[str, ...] = ()
    heading: str = ""
    """Over the items."""
    items: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    actions: tuple[Link | Form, ...] = ()

    def html(self, prefix: str = "") -> bytes:
        """The page; `prefix` comes before its title in the window's."""
        title = escape(self.title)
        body = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in self.paragraphs)
        if self.items:
            listed = "".join(f"<li>{escape(item)}</li>" for item in self.items)
            body += f"<h2>{escape(self.heading)}</h2><ul>{listed}</ul>"
        if self.facts:
            body += f"<dl>{''.join(map(_fact, self.facts))}</dl>"
        body += "".join(map(_action, self.actions))
        page = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(prefix)}{title}</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
            f"<body><main><h1>{title}</h1>{body}</main></body></html>\n"
        )
        return page.encode("utf-8", "replace")

    def answer(self, status: int, fields: Fields = ()) -> Answer:
        """The page as a response."""
        kind = (b"content-type", b"text/html; charset=utf-8")
        return Answer(status, (kind, *COMMON, (b"content-security-policy", CONTENT_POLICY), *fields), self.html())


def _fact(fact: Fact) -> str:
    value = escape(fact.value)
    return f"<dt>{escape(fact.term)}</dt><dd>{f'<code>{value}</code>' if fact.code else value}</dd>"


def _action(action: Link | Form) -> str:
    if isinstance(action, Link):
        return f'<p><a href="{escape(action.target)}">{escape(action.text)}</a></p>'
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in action.fields
    )
    return (
        f'<form method="post" action="{escape(action.target)}">{hidden}'
        f'<button type="submit">{escape(action.text)}</button></form>'
    )
