from ztproxy.identity.revocation.backoff import Backoff


def test_later_each_time_up_to_a_longest_pause():
    backoff = Backoff(10.0, 60.0)
    assert backoff.over(0.0)
    pauses = []
    for _ in range(5):
        backoff.failed(100.0, "away")
        pauses.append(backoff.next_attempt - 100.0)
    assert pauses == [10, 20, 40, 60, 60]
    assert (backoff.failures, backoff.last_failure) == (5, "away")
    assert not backoff.over(159.9)
    assert backoff.over(160.0)


def test_success_forgets_and_a_copy_is_another():
    backoff = Backoff(10.0, 60.0)
    backoff.failed(100.0, "away")
    copy = backoff.copy()
    backoff.succeeded()
    assert (backoff.failures, backoff.last_failure, backoff.over(0.0)) == (0, "", True)
    assert (copy.failures, copy.last_failure, copy.over(109.0)) == (1, "away", False)
