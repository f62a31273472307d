"""The table of remembered decisions: ends, halves and bounds."""

import pytest

from ztproxy.model import Decision
from ztproxy.policy.memo import MAXIMUM_SIZE, Memo

YES = Decision(allow=True, result=b"true", memo="hit")
FOREVER = float("inf")


def aged(max_age):
    return Decision(allow=True, result=b"true", max_age=max_age)


@pytest.mark.parametrize(
    ("decision", "remaining", "lasts"),
    [(YES, FOREVER, 10.0), (YES, 3.0, 3.0), (aged(2.0), FOREVER, 2.0), (aged(5.0), 4.0, 4.0), (aged(60.0), 60.0, 10.0)],
)
def test_it_lasts_as_long_as_the_shortest_of_what_it_rests_on(decision, remaining, lasts):
    memo = Memo(16, 10.0)
    memo.remember("key", decision, 100.0, remaining, 9)
    assert memo.recall("key", 100.0 + lasts - 0.001) is decision
    assert memo.recall("key", 100.0 + lasts) is None
    assert (memo.hits, memo.misses) == (1, 1)


@pytest.mark.parametrize(("decision", "remaining"), [(aged(0.0), FOREVER), (YES, 0.0), (YES, -5.0)])
def test_what_is_over_already_is_not_kept(decision, remaining):
    memo = Memo(16, 10.0)
    memo.remember("key", decision, 100.0, remaining, 9)
    assert memo.entries == 0


def test_a_decision_made_anew_takes_the_place_of_the_one_that_ended():
    memo = Memo(16, 10.0)
    for start in (0.0, 10.0):
        memo.remember("key", aged(start + 1), start, FOREVER, 9)
        assert memo.recall("key", start).max_age == start + 1
    assert memo.entries == 1


def test_it_is_bounded_and_the_oldest_goes_first():
    memo = Memo(16, 10.0)
    for number in range(100):
        memo.remember(number, YES, 0.0, FOREVER, 9)
    assert memo.entries == 8
    assert [number for number in range(100) if memo.recall(number, 0.0)] == list(range(92, 100))


def test_new_questions_do_not_displace_what_is_asked_again():
    memo = Memo(16, 10.0)
    memo.remember("often", YES, 0.0, FOREVER, 9)
    assert memo.recall("often", 0.0)
    for number in range(1000):
        memo.remember(number, YES, 0.0, FOREVER, 9)
    assert memo.recall("often", 0.0)
    assert memo.entries <= 16


def test_what_is_asked_again_is_bounded_too():
    memo = Memo(16, 10.0)
    for number in range(100):
        memo.remember(number, YES, 0.0, FOREVER, 9)
        assert memo.recall(number, 0.0)
    assert memo.entries <= 16


def test_what_is_large_is_not_kept():
    memo = Memo(16, 10.0)
    memo.remember("key", YES, 0.0, FOREVER, MAXIMUM_SIZE + 1)
    assert memo.entries == 0
