from tests.fakes import FakeClock
from ztproxy.workers.backoff import FIRST, LONGEST, STEADY, Backoff


def test_each_death_in_a_row_doubles_the_wait_up_to_a_bound():
    backoff = Backoff(FakeClock())
    waits = []
    for _ in range(40):
        backoff.began()
        waits.append(backoff.died())
    assert waits[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert waits[-1] == LONGEST


def test_a_worker_that_served_for_long_begins_anew():
    clock = FakeClock()
    backoff = Backoff(clock)
    for _ in range(5):
        backoff.began()
        backoff.died()
    backoff.began()
    clock.now += STEADY
    assert backoff.died() == FIRST
