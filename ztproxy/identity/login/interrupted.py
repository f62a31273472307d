"""What a form held that a login interrupted: kept for the browser that sent it, and sent on by a button afterwards.

Only from a page of this very host, and at most `MAXIMUM` octets. It is sealed under a secret that the browser alone
has, in the cookie of its login. All such forms share a fixed number of places, and one source has few of them: nobody
who has not logged in can fill the store.
"""

import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import parse_qsl

import msgspec

from ztproxy.identity.login.context import Context
from ztproxy.identity.login.navigation import values
from ztproxy.identity.login.transaction import LIFETIME
from ztproxy.model import Arrived
from ztproxy.page import Form, Link, Page
from ztproxy.store.records import RecordsUnavailableError

MAXIMUM = 65536
"""Octets of content."""
LOST = "-"
"""In place of a form that could not be kept."""
PLACES = 256
PLACES_OF_A_SOURCE = 8
_MOST_FIELDS = 1000
_KEPT = b"p"
"""What the keys of these records begin with."""
_PURPOSE = "interrupted form"
_SECRET = 32
_IPV6_NETWORK = 64
_URLENCODED, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
_BOUNDARY = re.compile(r"multipart/form-data; ?boundary=\"?([A-Za-z0-9'()+_,./:=?-]{1,70})\"?", re.IGNORECASE)
_TEXT_FIELD = re.compile(
    rb'\r\ncontent-disposition: form-data; name="([^"\r\n]*)"\r\n\r\n(.*)', re.IGNORECASE | re.DOTALL
)
"""A file has a name and a type of its own, so it is none."""
_UNSHOWABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


class Interrupted(msgspec.Struct, frozen=True):
    """A form as it was filled in."""

    fields: tuple[tuple[str, str], ...]
    multipart: bool


async def keep(context: Context, arrived: Arrived, content: bytes) -> str:
    """Keep a form's content for after the login; names it for the browser's cookie, or is `LOST`."""
    form = read(values(arrived, b"content-type"), content)
    if form is None:
        return LOST
    secret = secrets.token_bytes(_SECRET)
    until = arrived.wall + LIFETIME
    try:
        for place in _places(context, arrived.source):
            sealed = context.ring.seal(_PURPOSE, _place(place) + secret, msgspec.json.encode(form))
            if await context.records.add(_place(place), sealed, until, arrived.wall):
                return urlsafe_b64encode(bytes([place]) + secret).decode("ascii")
    except RecordsUnavailableError:
        return LOST
    return LOST


async def released(context: Context, kept: str, now: float) -> Interrupted | None:
    """What was kept, once; None where it was lost, or is another browser's."""
    if kept == LOST:
        return None
    named = urlsafe_b64decode(kept)
    key, secret = _place(named[0]), named[1:]
    try:
        record = await context.records.get(key, now)
        plain = None if record is None else context.ring.open(_PURPOSE, key + secret, record.value)
        if plain is None or not await context.records.remove(key):
            return None
    except RecordsUnavailableError:
        return None
    return msgspec.json.decode(plain, type=Interrupted)


def page(form: Interrupted | None, target: str) -> Page:
    """What a person sees after the login: nothing is sent without their doing."""
    if form is None:
        return Page(
            "You are signed in",
            ("What you had sent could not be kept while you signed in. Please fill it in and send it again.",),
            actions=(Link("Go on", target),),
            mood="asks",
        )
    return Page(
        "You are signed in",
        ("The sign-in interrupted what you were sending. It has not been sent yet.",),
        actions=(
            Form("Continue: send what you had filled in", target, form.fields, form.multipart, leads_away=True),
            Link("Do not send it", target),
        ),
        mood="done",
    )


def read(content_types: Sequence[bytes], content: bytes) -> Interrupted | None:
    """A form that a page of ours can send again as it was; None: it holds files, or what no form of text holds."""
    if len(content_types) != 1 or len(content) > MAXIMUM:
        return None
    kind = content_types[0].decode("latin-1")
    essence = kind.partition(";")[0].strip().lower()
    fields = _urlencoded(content) if essence == _URLENCODED else None
    if essence == _MULTIPART:
        fields = _multipart(kind, content)
    if (
        fields is None
        or len(fields) > _MOST_FIELDS
        or any(map(_UNSHOWABLE.search, (text for f in fields for text in f)))
    ):
        return None
    return Interrupted(tuple(fields), essence == _MULTIPART)


def _urlencoded(content: bytes) -> list[tuple[str, str]] | None:
    try:
        text = content.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS) if text else []
    except ValueError:
        return None


def _multipart(kind: str, content: bytes) -> list[tuple[str, str]] | None:
    """The fields of a multipart form (RFC 7578) that holds text alone, as browsers write it; None for any other."""
    named = _BOUNDARY.fullmatch(kind)
    if named is None:
        return None
    boundary = b"--" + named[1].encode("ascii")
    first, *parts = (b"\r\n" + content).split(b"\r\n" + boundary, _MOST_FIELDS + 2)
    if first or not parts or parts.pop() not in (b"--", b"--\r\n"):
        return None
    fields = []
    for part in parts:
        found = _TEXT_FIELD.fullmatch(part)
        if found is None:
            return None
        try:
            name, value = found[1].decode("utf-8"), found[2].decode("utf-8")
        except UnicodeDecodeError:
            return None
        for written, meant in (("%0D", "\r"), ("%0A", "\n"), ("%22", '"')):  # the HTML standard's own escapes
            name = name.replace(written, meant)
        fields.append((name, value))
    return fields


def _places(context: Context, source: str) -> list[int]:
    """The places of one source; those of an IPv6 network are one."""
    try:
        address = ip_address(source)
    except ValueError:
        named = source
    else:
        named = str(ip_network((source, _IPV6_NETWORK), strict=False)) if address.version == 6 else source  # noqa: PLR2004
    drawn = context.ring.names("interrupted form place", named.encode())[0]
    return list(dict.fromkeys(drawn[:PLACES_OF_A_SOURCE]))


def _place(number: int) -> bytes:
    return _KEPT + number.to_bytes(2, "big")
