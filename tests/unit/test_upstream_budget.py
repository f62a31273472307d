"""How many requests may be sent again at one time."""

from ztproxy.config.upstreams import Retries
from ztproxy.upstream.budget import RetryBudget


def granted(budget: RetryBudget, in_flight: int) -> int:
    return sum(budget.take(in_flight) for _ in range(500))


def test_a_share_of_what_is_in_flight():
    assert granted(RetryBudget(Retries(share=20, minimum=0)), 100) == 20


def test_never_fewer_than_the_minimum():
    assert granted(RetryBudget(Retries(share=20, minimum=5)), 0) == 5
    assert granted(RetryBudget(Retries(share=20, minimum=5)), 100) == 20


def test_none_at_all():
    assert granted(RetryBudget(Retries(share=0, minimum=0)), 1000) == 0


def test_what_is_over_is_given_back_and_what_is_denied_is_counted():
    budget = RetryBudget(Retries(share=0, minimum=1))
    assert budget.take(1)
    assert not budget.take(1)
    budget.give_back()
    assert budget.take(1)
    assert budget.denied == 1
