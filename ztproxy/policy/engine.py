"""What every policy engine offers: one question, answered or not."""

from typing import Protocol

import msgspec

from ztproxy.model import Reason


class Evaluation(msgspec.Struct, frozen=True):
    """What an engine answered: exactly one of value / problem."""

    value: bytes | None
    """JSON of the value at the entrypoint; None when undefined or failed."""
    problem: Reason | None
    """POLICY_UNDEFINED, POLICY_ERROR, POLICY_TIMEOUT, POLICY_UNAVAILABLE or POLICY_MALFORMED; None with a value."""
    cause: str = ""
    """For the operator alone."""


class Engine(Protocol):
    """Evaluates the policy's entrypoint over an input document, JSON."""

    revision: str
    """Names the rules and data that decide."""
    reads: frozenset[tuple[str, ...]]
    """Places in the input that the policy is known to read: `("request", "headers", "x-role")`."""

    constant: Evaluation | None
    """The answer of a policy that reads nothing and so has one answer; None for all others."""

    async def evaluate(self, document: bytes, now_ns: int) -> Evaluation: ...

    async def close(self) -> None: ...
