"""What every policy engine offers: one question, answered or not."""

from typing import Protocol

import msgspec

from ztproxy.model import Reason
from ztproxy.policy.places import Places


class Evaluation(msgspec.Struct, frozen=True):
    """What an engine answered: exactly one of value / problem."""

    value: bytes | None
    """JSON of the value at the entrypoint; None when undefined or failed."""
    problem: Reason | None
    """POLICY_UNDEFINED, POLICY_ERROR, POLICY_TIMEOUT, POLICY_UNAVAILABLE or POLICY_MALFORMED; None with a value."""
    cause: str = ""
    """For the operator alone."""


class Sight(msgspec.Struct, frozen=True):
    """What an engine looks at, known for certain: its answers follow from this and from nothing else."""

    places: Places
    """In the input."""
    clock: bool
    """It asks what time it is."""
    repeatable: bool
    """Asked the same again it answers the same."""


class Engine(Protocol):
    """Evaluates the policy's entrypoint over an input document, JSON."""

    revision: str
    """Names the rules and data that decide."""
    reads: Places
    """Places in the input that the policy is known to read: their values may be told in the decision log."""
    sight: Sight | None
    """None where that is not known: then all of the input is written, and nothing is remembered."""

    async def evaluate(self, document: bytes, now_ns: int) -> Evaluation: ...

    async def close(self) -> None: ...
