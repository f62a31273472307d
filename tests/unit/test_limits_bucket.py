import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztproxy.limits.bucket import EXACT, SECOND, quota

limits = st.integers(1, 999_999_999)
periods = st.sampled_from((1.0, 60.0, 3600.0, 86400.0))
bursts = st.integers(1, 1_000_000_000)


@given(limits, periods, bursts)
def test_numbers_stay_exact_in_a_double_and_never_admit_more_than_was_said(limit, period, burst):
    try:
        made = quota(limit, period, burst)
    except ValueError:
        assert burst * period / limit > 100 * 365 * 86400
        return
    assert made.pace >= 1
    assert made.capacity == burst * made.interval <= EXACT
    assert (
        made.interval * limit >= made.pace * round(period) * SECOND
    )  # interval / pace is no shorter than period / limit


@pytest.mark.parametrize(
    ("limit", "period", "pace", "interval"), [(100, 1, 1, 10_000), (3, 1, 3, SECOND), (7, 60, 7, 60 * SECOND)]
)
def test_a_usual_rate_is_exact(limit, period, pace, interval):
    made = quota(limit, period, 10)
    assert (made.pace, made.interval) == (pace, interval)


def test_what_would_take_a_century_is_refused():
    with pytest.raises(ValueError, match="century"):
        quota(1, 86400.0, 1_000_000_000)


def test_wait_is_the_first_moment_at_which_the_request_fits():
    made = quota(3, 1.0, 5)
    wait = made.wait(made.capacity)
    assert made.remaining(made.capacity) == 0
    assert made.remaining(made.capacity - wait * made.pace) == 1
    assert made.remaining(made.capacity - (wait - 1) * made.pace) == 0
    assert made.wait(0) == 0
    assert made.until_full(made.capacity) == pytest.approx(5 / 3)
