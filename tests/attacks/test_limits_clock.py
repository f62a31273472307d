"""A clock that reads an earlier time than before empties no bucket of what was charged to it."""

import pytest

from ztproxy.limits.bucket import SECOND, quota
from ztproxy.limits.memory import TokenBucketMemoryStorage
from ztproxy.limits.token_bucket import Charge

SLOW = quota(1, 60.0, 2)
LATER = 7200 * SECOND


@pytest.mark.parametrize("back", [1, 59 * SECOND, 61 * SECOND, 3600 * SECOND])
def test_an_earlier_time_admits_no_more(back):
    long, short = TokenBucketMemoryStorage(16), TokenBucketMemoryStorage(16)
    for buckets in (long, short):
        for _ in range(2):
            assert buckets.take([Charge("k", SLOW)], LATER)[0].admitted
    for now in (LATER, LATER - back, LATER, LATER + 59 * SECOND):
        assert not long.take([Charge("k", SLOW)], now)[0].admitted
        assert not short.take_one("k", SLOW, now).admitted
    assert long.take([Charge("k", SLOW)], LATER + 60 * SECOND)[0].admitted
    assert short.take_one("k", SLOW, LATER + 60 * SECOND).admitted
