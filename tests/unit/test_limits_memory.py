import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztproxy.limits.bucket import SECOND, quota
from ztproxy.limits.memory import TokenBucketMemoryStorage
from ztproxy.limits.token_bucket import Charge

SLOW = quota(1, 60.0, 2)


def charge(key="k", numbers=SLOW, enforced=True, cost=1):
    return Charge(key, numbers, cost, enforced)


@given(
    st.integers(1, 50),
    st.sampled_from((1.0, 60.0)),
    st.integers(1, 20),
    st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=60),
)
def test_never_more_than_burst_and_rate_in_any_window(limit, period, burst, gaps):
    """From admitted request i to admitted request j at most burst + rate * time, whatever the arrivals."""
    buckets, numbers, now, admitted = TokenBucketMemoryStorage(16), quota(limit, period, burst), 0, []
    for gap in gaps:
        now += gap
        if buckets.take([charge(numbers=numbers)], now)[0].admitted:
            admitted.append(now)
    for i, first in enumerate(admitted):
        for j in range(i, len(admitted)):
            assert (j - i + 1 - burst) * round(period) * SECOND <= (admitted[j] - first) * limit


@given(st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(0, SECOND), min_size=1, max_size=80))
def test_it_agrees_with_counting_tokens(limit, burst, gaps):
    """The model: a number of tokens, here in millionths of one, filled by `limit` each microsecond."""
    buckets, numbers, now, tokens = TokenBucketMemoryStorage(16), quota(limit, 1.0, burst), 0, burst * SECOND
    for gap in gaps:
        now += gap
        tokens = min(burst * SECOND, tokens + gap * limit)
        expected = tokens >= SECOND
        tokens -= SECOND * expected
        state = buckets.take([charge(numbers=numbers)], now)[0]
        assert state.admitted == expected
        assert numbers.remaining(state.level) == tokens // SECOND


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-SECOND, 30 * SECOND)), max_size=60))
def test_the_short_way_and_the_long_way_agree(steps):
    short, long, now = TokenBucketMemoryStorage(16), TokenBucketMemoryStorage(16), 2 * SECOND
    for name, gap in steps:
        now += gap
        assert short.take_one(str(name), SLOW, now) == long.take([charge(str(name))], now)[0]


def test_all_are_charged_or_none():
    buckets = TokenBucketMemoryStorage(16)
    spent, whole = charge("spent"), charge("whole")
    for _ in range(2):
        buckets.take([spent], 0)
    assert [state.admitted for state in buckets.take([whole, spent], 0)] == [True, False]
    assert buckets.take([whole], 0)[0].level == SLOW.interval  # the first charge that it ever had


def test_what_is_not_enforced_stops_nothing():
    buckets = TokenBucketMemoryStorage(16)
    shadow, whole = charge("spent", enforced=False), charge("whole")
    for _ in range(3):
        states = buckets.take([shadow], 0)
    assert not states[0].admitted
    assert buckets.take([shadow, whole], 0)[1].admitted
    assert buckets.take([whole], 0)[0].level == 2 * SLOW.interval


def test_a_clock_reading_a_little_older_than_the_last_admits_no_more():
    buckets = TokenBucketMemoryStorage(16)
    assert [buckets.take([charge()], now)[0].admitted for now in (60 * SECOND, 0, 60 * SECOND)] == [True, False, True]


def test_a_full_table_refuses_new_keys_and_keeps_what_it_has():
    buckets = TokenBucketMemoryStorage(16)
    for name in range(16):
        buckets.take([charge(str(name))] * 1, 0)
        buckets.take([charge(str(name))], 0)
    state = buckets.take([charge("new")], 0)[0]
    assert state.refused_new
    assert not state.admitted
    assert not any(buckets.take([charge(str(name))], 0)[0].admitted for name in range(16))
    assert len(buckets) == 16


def test_two_new_keys_do_not_share_the_last_place():
    buckets = TokenBucketMemoryStorage(16)
    for name in range(15):
        buckets.take([charge(str(name))], 0)
    states = buckets.take([charge("a"), charge("b")], 0)
    assert [state.refused_new for state in states] == [False, True]
    assert len(buckets) == 15


def test_a_bucket_that_is_full_again_makes_room():
    buckets = TokenBucketMemoryStorage(16)
    for name in range(16):
        buckets.take([charge(str(name))], name * SECOND)
    assert buckets.take([charge("early")], 59 * SECOND)[0].refused_new
    assert buckets.take([charge("new")], 60 * SECOND)[0].admitted


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30 * SECOND)), max_size=120))
def test_only_buckets_that_are_full_again_are_ever_forgotten(steps):
    """A table of 16 gives the answers of one without bounds, except that it may refuse new keys."""
    small, large, now = TokenBucketMemoryStorage(16), TokenBucketMemoryStorage(10_000), 0
    for name, gap in steps:
        now += gap
        key = charge(str(name))
        state = small.take([key], now)[0]
        assert len(small) <= 16
        if not state.refused_new:
            assert state == large.take([key], now)[0]


def test_a_bucket_charged_again_is_not_forgotten_at_its_first_end():
    buckets = TokenBucketMemoryStorage(16)
    for _ in range(2):
        buckets.take([charge()], 0)
    buckets.take([charge("new")], 61 * SECOND)  # looks through what may have come to its end
    assert [buckets.take([charge()], 61 * SECOND)[0].admitted for _ in range(2)] == [True, False]


def test_room_is_found_whenever_there_is_any():
    """Buckets charged again and again sit early in the heap and must not hide one that is full again."""
    buckets, slow = TokenBucketMemoryStorage(16), quota(1, 60.0, 100)
    for name in range(16):
        for _ in range(1 if name == 15 else 50):
            buckets.take([charge(str(name), slow)], name)
    assert buckets.take([charge("new", slow)], 61 * SECOND)[0].admitted


async def test_the_library_face_of_it():
    buckets = TokenBucketMemoryStorage(16)
    assert (await buckets.acquire_tokens([charge()], 0))[0].admitted
    with pytest.raises(ValueError, match="clock"):
        await buckets.acquire_tokens([charge()])
    await buckets.reset()
    assert len(buckets) == 0
