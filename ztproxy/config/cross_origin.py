"""Which pages of other origins may read a route's answers (CORS, the Fetch standard §3.2).

What is decided here is the same for the question that a browser asks first, for responses and for refusals.
"""

import re
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, WithJsonSchema, model_validator

from ztproxy.config.section import Section
from ztproxy.config.values import Duration, FieldName

Sent = tuple[tuple[bytes, bytes], ...]

_LABEL = r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?"
_ORIGIN = re.compile(rf"(https?)://((?:\*\.{_LABEL}\.)?{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]+\])(?::[1-9][0-9]{{0,4}})?")
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_VARY = (b"vary", b"Origin")


def _origin(value: str) -> str:
    if value != "*" and not _ORIGIN.fullmatch(value):
        raise ValueError(
            "an origin is https://host[:port] in lower case, https://*.corp.example for what lies below a name, or *"
        )
    return value


def _method(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{3,16}", value) or value in ("CONNECT", "TRACE"):
        raise ValueError("a method is written in capitals: GET, PUT")
    return value


Origin = Annotated[str, AfterValidator(_origin), WithJsonSchema({"type": "string", "examples": ["https://app.test"]})]
Method = Annotated[str, AfterValidator(_method), WithJsonSchema({"type": "string", "examples": ["GET", "PUT"]})]


class Cors(Section):
    """Which pages of other origins may read this route's answers. Who is not named is let in as before, unreadably."""

    origins: tuple[Origin, ...] = ()
    """https://app.corp.example, https://*.corp.example (one or more labels), or "*"; `null` is never one."""
    methods: tuple[Method, ...] = ("GET", "HEAD", "POST")
    """What such a page may use."""
    headers: tuple[FieldName, ...] = ()
    """What it may set: Content-Type, Authorization, ..."""
    expose: tuple[FieldName, ...] = ()
    """What of a response it may read beside the usual: X-Request-Id, RateLimit, ..."""
    credentials: bool = False
    """It may send cookies and client certificates; not with "*", and over https only."""
    max_age: Duration = 600.0
    """How long a browser may remember the answer to its first question."""
    preflight: Literal["answer", "forward"] = "answer"
    """answer: the proxy answers a browser's first question by itself, before anybody is asked who they are. forward:
    the upstream answers it; then it says the rest too, and the question passes without cookies, content or identity."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.preflight == "forward":
            if self.model_fields_set - {"preflight"}:
                raise ValueError(
                    "with `preflight: forward` the upstream says what is allowed: nothing else is set here"
                )
            return self
        if not self.origins:
            raise ValueError("`origins` names the pages that may read answers")
        if "*" in self.origins and len(self.origins) > 1:
            raise ValueError('"*" is every origin already')
        if self.credentials and "*" in self.origins:
            raise ValueError('`credentials: true` lets pages act as their reader: `origins` names them, "*" does not')
        if self.credentials and (plain := [origin for origin in self.origins if _is_plaintext(origin)]):
            raise ValueError(f"`credentials: true` over plaintext, where anybody can be {plain[0]}: https only")
        return self


def readers(cors: Cors) -> Callable[[Sent], Sent]:
    """What a response says to the page that asks, from the request's fields: nothing to a page that is not named."""
    if cors.origins == ("*",):
        always = ((b"access-control-allow-origin", b"*"), *_rest(cors))
        return lambda fields: always if any(name == b"origin" for name, _ in fields) else ()
    named = re.compile("|".join(map(_pattern, cors.origins)).encode("ascii"))
    rest = (*_rest(cors), _VARY)

    def said(fields: Sent) -> Sent:
        origins = [value for name, value in fields if name == b"origin"]
        if len(origins) != 1 or not named.fullmatch(origins[0]):
            return (_VARY,)
        return ((b"access-control-allow-origin", origins[0]), *rest)

    return said


def _rest(cors: Cors) -> Sent:
    fields = []
    if cors.credentials:
        fields.append((b"access-control-allow-credentials", b"true"))
    if cors.expose:
        fields.append((b"access-control-expose-headers", ", ".join(cors.expose).encode("ascii")))
    return tuple(fields)


def _pattern(origin: str) -> str:
    scheme, _, host = origin.partition("://")
    if host.startswith("*."):
        return rf"{scheme}://(?:[a-z0-9_-]{{1,63}}\.){{1,8}}{re.escape(host[2:])}"
    return re.escape(origin)


def _is_plaintext(origin: str) -> bool:
    found = _ORIGIN.fullmatch(origin)
    return found is None or (found[1] == "http" and found[2] not in _LOCAL)
