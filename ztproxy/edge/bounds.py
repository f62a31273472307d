"""How much of a client is borne, and for how long."""

import msgspec


class HeadLimits(msgspec.Struct, frozen=True):
    """How much head a request may have; sizes in octets, time in seconds."""

    head: int = 32_768
    request_line: int = 8_192
    fields: int = 100
    seconds: float = 10.0


class Patience(msgspec.Struct, frozen=True):
    """How long a client may do nothing, in seconds."""

    idle: float = 75.0
    """Between two requests."""
    body: float = 60.0
    """Between two pieces of a request's body, and of a response that it does not read."""
    discard: float = 10.0
    """To send the rest of a body that was refused."""
    minimum_rate: int = 0
    """Octets a second that a client may not fall behind by more than `body`; 0: only standing still counts."""
