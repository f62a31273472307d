"""Which protocols a route may switch to, and how long its streams may last.

A stream is what outlives a request: a WebSocket, another protocol that was switched to, an event stream, a response
that takes long.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from ztproxy.config.section import Section
from ztproxy.config.values import Duration

WEBSOCKET = "websocket"
_NEVER = re.compile(r"h2c?|h3|http(/.*)?|tls(/.*)?|connect-.*")
"""What would carry requests that nobody judges (RFC 9113 §3.1), or hide them (RFC 2817)."""


def _protocol(value: str) -> str:
    name = value.lower()
    if not re.fullmatch(r"[a-z0-9!#$&'*+.^_`|~-]{1,64}(/[a-z0-9.]{1,16})?", name):
        raise ValueError("a protocol is named by a token, perhaps with a version: websocket, spdy/3.1")
    if _NEVER.fullmatch(name):
        raise ValueError(f"a switch to {name} would let requests through that nobody judges")
    return name


def _media_type(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+", value):
        raise ValueError("a media type is type/subtype, without parameters: text/event-stream")
    return value.lower()


UpgradeName = Annotated[str, AfterValidator(_protocol), WithJsonSchema({"type": "string", "examples": [WEBSOCKET]})]
MediaType = Annotated[str, AfterValidator(_media_type), WithJsonSchema({"type": "string", "pattern": "^.+/.+$"})]


class Streams(Section):
    """How long streams may last: WebSockets, other protocols switched to, event streams, responses that take long.

    None is buffered. A long poll that answers late needs a longer `timeouts.response` of its upstream.
    """

    idle: Duration = 600.0
    """How long nothing may pass, either way, in place of the upstream's `timeouts.idle`."""
    media_types: tuple[MediaType, ...] = ("text/event-stream",)
    """Responses of unknown length and of these types are event streams: `idle` holds for them."""
    lifetime: Duration | None = None
    """How long one may last in all. However long that is, none outlives the token and the certificate that opened
    it."""
    maximum: int | None = Field(default=None, ge=1)
    """WebSockets, and other protocols switched to, open at once on this route, in each process."""
    maximum_per_identity: int | None = Field(default=None, ge=1)
    """Likewise for one identity: a token's subject, else a certificate, else an address."""
