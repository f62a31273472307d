import pytest
from limits import parse
from limits.aio.storage import MemoryStorage

from ztproxy.limits.memory import TokenBucketMemoryStorage
from ztproxy.limits.token_bucket import TokenBucketRateLimiter


async def test_the_strategy_takes_the_library_s_items():
    time = [100.0]
    limiter = TokenBucketRateLimiter(TokenBucketMemoryStorage(16), lambda: time[0])
    item = parse("2/minute")
    assert await limiter.test(item, "someone", cost=2)
    assert await limiter.hit(item, "someone", cost=2)
    assert not await limiter.hit(item, "someone")
    assert await limiter.hit(item, "someone else")
    stats = await limiter.get_window_stats(item, "someone")
    assert stats.remaining == 0
    assert stats.reset_time == pytest.approx(160.0)
    time[0] += 30
    assert await limiter.hit(item, "someone")
    assert not await limiter.test(item, "someone")


def test_a_storage_without_buckets_is_refused():
    with pytest.raises(NotImplementedError, match="token buckets"):
        TokenBucketRateLimiter(MemoryStorage(), lambda: 0.0)
