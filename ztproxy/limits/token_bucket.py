"""A token bucket for the `limits` library, which has windows but none: the storage mixin and the strategy.

Made in the manner of its `MovingWindowSupport` and `MovingWindowRateLimiter`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import msgspec
from limits import RateLimitItem, WindowStats
from limits.aio.storage import Storage
from limits.aio.strategies import RateLimiter

from ztproxy.limits.bucket import SECOND, Quota, quota


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What one rule takes from one bucket for a request."""

    key: str
    quota: Quota
    cost: int = 1
    """Requests; no more than the burst."""
    enforced: bool = True
    """False: its refusal is noted and refuses nothing."""


class BucketState(msgspec.Struct, frozen=True, gc=False):
    """What became of a charge: whether it fitted, and the bucket's level after it (`Quota.remaining`)."""

    admitted: bool
    level: int
    refused_new: bool = False
    """There was no room for another bucket."""


class TokenBucketSupport(ABC):
    """For storages that keep token buckets."""

    @abstractmethod
    async def acquire_tokens(self, charges: Sequence[Charge], now: int | None = None) -> Sequence[BucketState]:
        """Charge several buckets in one step: all of them, or none if an enforced one has not enough tokens.

        Args:
            charges: those that are alike count once.
            now: microseconds of a clock that does not go back; None: the storage's own clock.

        Raises:
            limits.errors.StorageError: the storage did not answer.
        """


def settle(charges: Sequence[Charge], levels: Sequence[int | None]) -> tuple[list[BucketState], bool]:
    """What becomes of charges at these levels (None: no room for another bucket), and whether anything is charged."""
    states: list[BucketState] = []
    allowed = True
    for charge, level in zip(charges, levels, strict=True):
        quota = charge.quota
        if level is None:
            states.append(BucketState(admitted=False, level=quota.capacity, refused_new=True))
            allowed = allowed and not charge.enforced
            continue
        after = level + charge.cost * quota.interval
        if after <= quota.capacity:
            states.append(BucketState(True, after))  # noqa: FBT003 - by position is half the time
        else:
            states.append(BucketState(False, level))  # noqa: FBT003 - likewise
            allowed = allowed and not charge.enforced
    return states, allowed


class TokenBucketRateLimiter(RateLimiter):
    """The strategy: a bucket that holds the item's amount and fills in its period."""

    def __init__(self, storage: Storage, clock: Callable[[], float]) -> None:
        """Take a storage with `TokenBucketSupport` and a clock in seconds."""
        if not isinstance(storage, TokenBucketSupport):
            raise NotImplementedError(f"token buckets are not implemented for storage of type {type(storage)}")
        super().__init__(storage)
        self._buckets: TokenBucketSupport = storage
        self._clock = clock

    async def _acquire(self, item: RateLimitItem, identifiers: tuple[str, ...], cost: int) -> tuple[Quota, BucketState]:
        numbers = quota(item.amount, item.get_expiry(), item.amount)
        charge = Charge(item.key_for(*identifiers), numbers, cost)
        (state,) = await self._buckets.acquire_tokens((charge,), int(self._clock() * SECOND))
        return numbers, state

    async def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Take `cost` tokens; False when there are not so many."""
        return (await self._acquire(item, identifiers, cost))[1].admitted

    async def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Whether `cost` tokens are there; takes none."""
        numbers, state = await self._acquire(item, identifiers, 0)
        return numbers.remaining(state.level) >= cost

    async def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """When the bucket is full again, by this strategy's clock, and how many tokens it holds."""
        numbers, state = await self._acquire(item, identifiers, 0)
        return WindowStats(self._clock() + numbers.until_full(state.level), numbers.remaining(state.level))
