"""The journey of a request: what is asked in which order, and nothing else.

    Arrived → routing → Routed → identity → Identified → limits → Admitted → policy → Authorized → upstream

Each stage takes the type before it and returns the next one or a `Refusal`, so none can be skipped: the next one's
argument would not be there. Stages await only what needs I/O; a request that needs none never suspends.
"""

from collections.abc import Mapping
from typing import Protocol

from ztproxy.model import (
    Admitted,
    Answer,
    Answered,
    Arrived,
    Authorized,
    Identified,
    Outcome,
    Preflight,
    Reason,
    Refusal,
    Refused,
    Routed,
)

RESERVED = (".well-known", "ztproxy")
"""What is below belongs to the proxy, on every listener; no route has it."""
_NOTHING_THERE = Refusal(Reason.ROUTE_NOT_FOUND)


class Routing(Protocol):
    """Which route a host and path belong to."""

    def route(self, arrived: Arrived) -> Routed | Refusal | Answer | Preflight: ...


class Identity(Protocol):
    """Who asks."""

    async def identify(self, routed: Routed) -> Identified | Refusal: ...


class Limits(Protocol):
    """At which rate."""

    async def charge_source(self, arrived: Arrived) -> Refusal | None: ...

    async def admit(self, identified: Identified) -> Admitted | Refusal: ...


class Policy(Protocol):
    """Whether they may."""

    async def authorize(self, admitted: Admitted) -> Authorized | Refusal: ...

    def let_through(self, preflight: Preflight) -> Authorized | Refusal: ...


class Pipeline:
    """The stages in their order, and what the proxy answers itself by exact path under `/.well-known/ztproxy/`."""

    def __init__(
        self, routing: Routing, identity: Identity, limits: Limits, policy: Policy, reserved: Mapping[str, Answer]
    ) -> None:
        self.routing = routing
        self.identity = identity
        self.limits = limits
        self.policy = policy
        self.reserved = reserved

    async def __call__(self, arrived: Arrived) -> Outcome:
        """Authorise one request, or say why not."""
        if refusal := await self.limits.charge_source(arrived):
            return Refused(refusal, arrived)
        if arrived.segments[:2] == RESERVED:
            answer = self.reserved.get(arrived.path)
            return Refused(_NOTHING_THERE, arrived) if answer is None else Answered(answer, arrived)
        routed = self.routing.route(arrived)
        if not isinstance(routed, Routed):
            return self._met(routed, arrived)
        identified = await self.identity.identify(routed)
        if isinstance(identified, Refusal):
            return Refused(identified, routed)
        admitted = await self.limits.admit(identified)
        if isinstance(admitted, Refusal):
            return Refused(admitted, identified)
        authorized = await self.policy.authorize(admitted)
        if isinstance(authorized, Refusal):
            return Refused(authorized, admitted)
        return authorized

    def _met(self, met: Refusal | Answer | Preflight, arrived: Arrived) -> Outcome:
        """Nothing is there, or a browser asks what a page may ask: known before, and without, who it is."""
        answer = self.policy.let_through(met) if isinstance(met, Preflight) else met
        if isinstance(answer, Refusal):
            return Refused(answer, arrived)
        return Answered(answer, arrived) if isinstance(answer, Answer) else answer
