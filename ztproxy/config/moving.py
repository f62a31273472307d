"""Other places for a request: another path at the upstream, or a redirect instead of one."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, WithJsonSchema, model_validator

from ztproxy.config.section import Section

_SEGMENT = r"[A-Za-z0-9._~!$&'()*+,=:@-]+"
"""Characters that need no escape, so that a path has one spelling only."""


def plain_path(value: str) -> str:
    """A path in its one spelling, without escapes."""
    if not re.fullmatch(rf"/|(?:/{_SEGMENT})+/?", value) or {".", ".."} & set(value.split("/")):
        raise ValueError("a path here starts with /, has no empty or dot segments, and no escapes: /v2/")
    return value


def _destination(value: str) -> str:
    if value.startswith("/"):
        return plain_path(value)
    parts = urlsplit(value)
    host = re.fullmatch(r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[1-9]\d{0,4})?", parts.netloc)
    if parts.scheme != "https" or not host or parts.fragment or "#" in value:
        raise ValueError("a redirect goes to https://host[:port]/path, or to a /path of the same host")
    if parts.query and not re.fullmatch(r"[!$&'()*+,;=:@/?A-Za-z0-9._~%-]+", parts.query):
        raise ValueError("the query of a redirect holds characters that need an escape")
    plain_path(parts.path or "/")
    return value


PlainPath = Annotated[str, AfterValidator(plain_path), WithJsonSchema({"type": "string", "pattern": "^/"})]
Destination = Annotated[
    str, AfterValidator(_destination), WithJsonSchema({"type": "string", "examples": ["https://new.corp.example"]})
]


class Rewrite(Section):
    """The path that the upstream gets. Routing and the policy see the original, and so do the logs."""

    prefix: PlainPath
    """What is replaced, in whole segments; all of the route's `paths` lie below it."""
    to: PlainPath
    """What takes its place. Neither Location nor a cookie's path is changed in responses."""

    @model_validator(mode="after")
    def _alike(self) -> Self:
        if "/" not in (self.prefix, self.to) and self.prefix.endswith("/") != self.to.endswith("/"):
            raise ValueError("`prefix` and `to` both end in a slash, or neither does")
        return self

    def covers(self, path: str) -> bool:
        """Whether all that lies at and below a route's path begins with the prefix."""
        stem = self.prefix.rstrip("/")
        return path.startswith(stem + "/") or path == self.prefix


class Redirect(Section):
    """A redirect instead of an upstream, for whom the route and its policy let in."""

    to: Destination
    """https://host[:port]/path, or a /path of the same host."""
    status: Literal[301, 302, 307, 308] = 308
    """308 and 307 keep the method, 301 and 302 let browsers make it GET; 308 and 301 may be remembered."""
    keep: bool = False
    """Append the request's path and query to `to`, which has then no query of its own."""

    @model_validator(mode="after")
    def _appendable(self) -> Self:
        if self.keep and "?" in self.to:
            raise ValueError("`keep: true` appends the request's own path and query: `to` has no query then")
        if self.keep and self.to == "/":
            raise ValueError("`to: /` with `keep: true` leads back to where the request came from")
        return self
