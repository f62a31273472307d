"""What a route sets, adds or removes of header fields, by itself: static values, and never what decides who asks."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from ztproxy.config.believed import fold, is_believed, is_ours
from ztproxy.config.section import Section

_FRAMING = frozenset(
    b"""connection content-length expect host http2-settings keep-alive proxy proxy-connection te trailer
    transfer-encoding upgrade""".split()
)
"""Fields of one connection (RFC 9110 §7.6.1) and of framing."""
_CREDENTIALS = frozenset({b"authorization", b"cookie", b"set-cookie", b"www-authenticate"})
"""Secrets do not stand in the configuration, and who a client is, is not for a route to say."""
_OF_RESPONSES = frozenset({b"date", b"strict-transport-security"})
"""Set by the edge; `hsts` of a listener says the second."""


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", value):
        raise ValueError("a header name has letters, digits and dashes")
    folded = fold(value.encode("ascii"))
    if folded in _FRAMING or folded.startswith((b"proxy-", b"sec-websocket-")):
        raise ValueError(f"{value} frames the message or belongs to one connection: the proxy writes it")
    if is_ours(folded):
        raise ValueError(f"{value} is the proxy's own to set")
    return value


def _value(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?", value) or len(value) > 4096:  # noqa: PLR2004
        raise ValueError("a header's value is printable ASCII, without white space at its ends")
    return value


RuleName = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9-]+$"})]
RuleValue = Annotated[str, AfterValidator(_value), WithJsonSchema({"type": "string", "minLength": 1})]


class Rules(Section):
    """What is set, added or removed. A name stands in one of them only."""

    set: Mapping[RuleName, RuleValue] = Field(default_factory=dict)
    """Fields with these values, in place of any that were there."""
    add: Mapping[RuleName, RuleValue] = Field(default_factory=dict)
    """Fields with these values, beside any that were there."""
    remove: tuple[RuleName, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [fold(name.encode("ascii")) for name in (*self.set, *self.add, *self.remove)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name.decode()} stands in several of `set`, `add` and `remove`, or twice in one")
        return self

    @property
    def any(self) -> bool:
        """Whether there is a rule."""
        return bool(self.set or self.add or self.remove)

    @property
    def replaced(self) -> frozenset[bytes]:
        """Names, folded, of which nothing that was there is left."""
        return folded((*self.set, *self.remove))

    @property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """What is put in, names in lower case."""
        put = (*self.set.items(), *self.add.items())
        return tuple((name.lower().encode("ascii"), value.encode("ascii")) for name, value in put)


class RequestRules(Rules):
    """What the upstream sees of the request. The policy saw it as it came."""

    @model_validator(mode="after")
    def _says_nothing_of_who_asks(self) -> Self:
        for name in (*self.set, *self.add):
            like = fold(name.encode("ascii"))
            if like in _CREDENTIALS:
                raise ValueError(f"{name} holds credentials, which do not stand in the configuration")
            if is_believed(like):
                raise ValueError(
                    f"{name} is what applications take for a proxy's word on who asks: only a policy sets it"
                )
        return self


class ResponseRules(Rules):
    """What the client sees of the upstream's response; refusals are the proxy's own and stay as they are."""

    @model_validator(mode="after")
    def _leaves_the_edge_its_own(self) -> Self:
        for name in (*self.set, *self.add):
            like = fold(name.encode("ascii"))
            if like in _CREDENTIALS:
                raise ValueError(f"{name} decides about credentials: only the application sets it")
            if like in _OF_RESPONSES:
                raise ValueError(f"{name} is set by the listener")
            if like.startswith(b"access-control-"):
                raise ValueError(f"{name}: use `cors`, which never lets in an origin that is not named")
        return self


class HeaderRules(Section):
    """Header fields that a route changes by itself."""

    request: RequestRules = RequestRules()
    response: ResponseRules = ResponseRules()


def folded(names: Iterable[str]) -> frozenset[bytes]:
    """Names as they are compared."""
    return frozenset(fold(name.encode("ascii")) for name in names)
