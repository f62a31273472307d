"""What the proxy answers itself, by exact path under `/.well-known/ztproxy/`."""

from collections.abc import Mapping

import msgspec

from ztproxy.model import Answer, Arrived, Meet, Met, Reason, Refusal

JWKS = "/.well-known/ztproxy/jwks.json"
_NOTHING_THERE = Refusal(Reason.ROUTE_NOT_FOUND)


class Reserved(msgspec.Struct, frozen=True):
    """Paths, and what meets the requests for them."""

    paths: Mapping[str, Meet]

    async def __call__(self, arrived: Arrived) -> Met:
        """What is there, else `route-not-found`."""
        meet = self.paths.get(arrived.path)
        return _NOTHING_THERE if meet is None else await meet(arrived)


def always(answer: Answer) -> Meet:
    """Meets every request with the same answer."""

    async def meet(_: Arrived) -> Answer:
        return answer

    return meet
