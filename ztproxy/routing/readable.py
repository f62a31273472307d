"""Refusals that the pages of other origins may read, where the route lets them read its answers."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

import msgspec

from ztproxy.config.cross_origin import Sent, readers
from ztproxy.config.routes import Route
from ztproxy.model import Arrived, Decided, Refused

Decide = Callable[[Arrived], Coroutine[Any, Any, Decided]]


class ReadableRefusals(msgspec.Struct, frozen=True):
    """A pipeline whose refusals say who may read them: a page that may not would only learn that something failed."""

    decide: Decide
    readers: Mapping[str, Callable[[Sent], Sent]]
    """By route."""

    async def __call__(self, arrived: Arrived) -> Decided:
        """As the pipeline decides."""
        outcome = await self.decide(arrived)
        if not isinstance(outcome, Refused) or outcome.at is None or isinstance(outcome.at, Arrived):
            return outcome
        said = self.readers.get(outcome.at.route)
        if said is None:
            return outcome
        refusal = outcome.refusal
        told = msgspec.structs.replace(refusal, fields=(*refusal.fields, *said(arrived.fields)))
        return msgspec.structs.replace(outcome, refusal=told)


def readable(decide: Decide, routes: Iterable[Route]) -> Decide:
    """The pipeline as it is, wherever no route lets pages of other origins read."""
    by_route = {route.name: readers(route.cors) for route in routes if route.cors is not None and route.cors.origins}
    return ReadableRefusals(decide, by_route) if by_route else decide
