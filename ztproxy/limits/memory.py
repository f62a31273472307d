"""Token buckets in the process, as a storage of the `limits` library."""

from collections.abc import Sequence

from limits.aio.storage import MemoryStorage

from ztproxy.limits.bucket import Quota
from ztproxy.limits.table import Table
from ztproxy.limits.token_bucket import BucketState, Charge, TokenBucketSupport


class TokenBucketMemoryStorage(MemoryStorage, TokenBucketSupport):
    """The library's in-process storage with token buckets beside its windows."""

    def __init__(self, maximum_buckets: int) -> None:
        """Hold at most so many buckets."""
        super().__init__()
        self.table = Table(maximum_buckets)

    def __len__(self) -> int:
        return len(self.table)

    def take(self, charges: Sequence[Charge], now: int) -> list[BucketState]:
        """Charge all the buckets or, if an enforced one has not enough tokens, none; see `acquire_tokens`."""
        return self.table.take(charges, now)

    def take_one(self, key: str, quota: Quota, now: int) -> BucketState:
        """As `take` with one charge of one request."""
        return self.table.take_one(key, quota, now)

    async def acquire_tokens(self, charges: Sequence[Charge], now: int | None = None) -> Sequence[BucketState]:
        """As `take`; `now` has to be given."""
        if now is None:
            raise ValueError("in-process buckets have no clock of their own")
        return self.table.take(charges, now)

    async def reset(self) -> int | None:
        """Forget everything."""
        self.table.clear()
        return await super().reset()
