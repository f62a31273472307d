"""The journey of a request: what is asked in which order, and nothing else.

    Arrived → routing → Routed → identity → Identified → limits → Admitted → policy → Authorized → upstream

Each stage takes the type before it and returns the next one or a `Refusal`, so none can be skipped: the next one's
argument would not be there. Stages await only what needs I/O; a request that needs none never suspends.
"""

from typing import Protocol

from ztproxy.model import (
    Admitted,
    Answer,
    Answered,
    Arrived,
    Authorized,
    Decided,
    Identified,
    Meet,
    Met,
    Preflight,
    Refusal,
    Refused,
    Routed,
    Stage,
)

RESERVED = (".well-known", "ztproxy")
"""What is below belongs to the proxy, on every listener; no route has it."""


class Routing(Protocol):
    """Which route a host and path belong to."""

    def route(self, arrived: Arrived) -> Routed | Refusal | Answer | Preflight: ...


class Identity(Protocol):
    """Who asks."""

    async def identify(self, routed: Routed) -> Identified | Met: ...

    async def step_up(self, identified: Identified, refusal: Refusal) -> Met: ...


class Limits(Protocol):
    """At which rate."""

    async def charge_source(self, arrived: Arrived) -> Refusal | None: ...

    async def admit(self, identified: Identified) -> Admitted | Refusal: ...


class Policy(Protocol):
    """Whether they may."""

    async def authorize(self, admitted: Admitted) -> Authorized | Refusal: ...

    def let_through(self, preflight: Preflight) -> Authorized | Refusal: ...


class Pipeline:
    """The stages in their order, and what the proxy answers itself under `/.well-known/ztproxy/`."""

    def __init__(self, routing: Routing, identity: Identity, limits: Limits, policy: Policy, reserved: Meet) -> None:
        self.routing = routing
        self.identity = identity
        self.limits = limits
        self.policy = policy
        self.reserved = reserved

    async def __call__(self, arrived: Arrived) -> Decided:
        """Authorise one request, or say why not."""
        if refusal := await self.limits.charge_source(arrived):
            return Refused(refusal, arrived)
        if arrived.segments[:2] == RESERVED:
            return _met(await self.reserved(arrived), arrived)
        routed = self.routing.route(arrived)
        if not isinstance(routed, Routed):
            passed = self.policy.let_through(routed) if isinstance(routed, Preflight) else routed
            return passed if isinstance(passed, Authorized) else _met(passed, arrived)
        identified = await self.identity.identify(routed)
        if not isinstance(identified, Identified):
            return _met(identified, routed)
        admitted = await self.limits.admit(identified)
        if isinstance(admitted, Refusal):
            return Refused(admitted, identified)
        authorized = await self.policy.authorize(admitted)
        if isinstance(authorized, Refusal) and authorized.step_up is not None:
            return _met(await self.identity.step_up(identified, authorized), admitted)
        return Refused(authorized, admitted) if isinstance(authorized, Refusal) else authorized


def _met(met: Met, at: Stage) -> Decided:
    if isinstance(met, Answer):
        return Answered(met, at if isinstance(at, Arrived) else at.arrived)
    return Refused(met, at) if isinstance(met, Refusal) else met
