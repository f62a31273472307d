"""What clients may ask of the edge: how large, how slow and how many, and when all of it is too much."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from ztproxy.config.section import Section
from ztproxy.config.sizes import Size
from ztproxy.config.values import Duration


class Requests(Section):
    """How large a request may be and how long it may take, on every listener."""

    request_line: Annotated[Size, Field(ge=256)] = 8_192
    """Method, target and version."""
    head: Annotated[Size, Field(ge=1_024)] = 32_768
    """Request line and all fields."""
    fields: int = Field(default=100, ge=1, le=10_000)
    """How many header fields."""
    head_timeout: Duration = 10.0
    """From a head's first octet to its last; for a connection's first request, from its beginning."""
    maximum_body: Size | None = None
    """Content of a request, for routes that do not say; unlimited when absent. More is `request-too-large` (413)."""
    body_timeout: Duration = 60.0
    """How long a client may stand still in a body, and in reading a response."""
    minimum_rate: Size = 500
    """Octets a second that a client must send of a body, or read of a response that waits for it: whoever falls behind
    by `body_timeout` is cut off. 0: only standing still counts."""

    @model_validator(mode="after")
    def _line_in_head(self) -> Self:
        if self.request_line > self.head:
            raise ValueError("`request_line` is a part of `head`, and cannot be larger")
        return self


class Connections(Section):
    """How many connections each listener of a process has at most, and for how long."""

    maximum: int = Field(default=10_000, ge=1)
    """Beyond it new ones are closed at once. Each may need one more file descriptor towards an upstream."""
    per_source: int = Field(default=4_000, ge=1)
    """From one address. Peers in `trusted_proxies` and on Unix sockets speak for many and are not counted."""
    ipv6_prefix: int = Field(default=64, ge=16, le=128)
    """IPv6 clients count together by this prefix."""
    handshakes: int = Field(default=1_000, ge=1)
    """TLS handshakes, and PROXY headers, that may be under way."""
    handshake_timeout: Duration = 10.0
    """For each of the two."""
    idle_timeout: Duration = 75.0
    """Between two requests."""
    requests: int = Field(default=100_000, ge=1)
    """After so many requests a connection is closed, so that none lives for ever."""


class Overload(Section):
    """When new requests are refused with 503 `overloaded`, before anything is done for them; by process."""

    requests: int | None = Field(default=None, ge=1)
    """Requests under way."""
    loop_lag: Duration | None = None
    """How late the event loop gets to its work, twice in a row."""
    memory: Annotated[Size, Field(ge=1 << 24)] | None = None
    """Resident memory of the process."""
    retry_after: Annotated[Duration, Field(ge=1.0)] = 1.0
    """Told to the refused (`Retry-After`); whole seconds."""
