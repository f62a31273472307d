import asyncio
import inspect

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits.errors import StorageError

from ztproxy.limits import machine
from ztproxy.limits.bucket import EXACT, SECOND, quota
from ztproxy.limits.machine import TokenBucketMachineStorage
from ztproxy.limits.memory import TokenBucketMemoryStorage
from ztproxy.limits.token_bucket import Charge
from ztproxy.store import Table

SLOW = quota(1, 3600.0, 2)
SAID: list[str] = []


@pytest.fixture
async def buckets(tmp_path):
    SAID.clear()
    made = TokenBucketMachineStorage(tmp_path / "machine", maximum_buckets=1024, timeout=0.02, report=SAID.append)
    yield made
    await made.close()


def charge(key="k", numbers=SLOW, enforced=True, cost=1):
    return Charge(key, numbers, cost, enforced)


quotas = st.sampled_from((0.5, 60.0, 86400.0)).flatmap(
    lambda period: st.tuples(st.integers(1, 1000), st.just(period), st.integers(1, 50_000))
)
steps = st.lists(
    st.tuples(
        st.integers(0, 10**9) | st.integers(0, 100 * 365 * 86400 * SECOND),
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(1, 10**6), st.booleans()),
            min_size=1, max_size=3, unique_by=lambda charged: charged[0],
        ),
    ),
    max_size=12,
)  # fmt: skip
EXAMPLES = iter(range(10**9))


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(quotas, min_size=3, max_size=3), steps)
async def test_it_reckons_as_the_memory_does(tmp_path, numbers, steps):
    """The same charges at the same moments have the same answers, to the last digit, up to 2^52 and over centuries."""
    buckets = TokenBucketMachineStorage(tmp_path / f"{next(EXAMPLES)}", maximum_buckets=256, timeout=0.02)
    made, own, now = [quota(*each) for each in numbers], TokenBucketMemoryStorage(1000), 1
    for gap, charged in steps:
        now = min(now + gap, EXACT)
        charges = [
            charge(str(which), made[which], enforced, min(cost, made[which].burst)) for which, cost, enforced in charged
        ]
        assert buckets.take(charges, now) == own.take(charges, now)
    await buckets.close()


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 1800 * SECOND)), max_size=120))
async def test_only_buckets_that_are_full_again_are_ever_forgotten(tmp_path, steps):
    """A table of sixteen gives the answers of one without bounds, except that it may refuse new keys."""
    small = TokenBucketMachineStorage(tmp_path / f"{next(EXAMPLES)}", maximum_buckets=16, timeout=0.02)
    large, now = TokenBucketMemoryStorage(10_000), 1
    for one, two, gap in steps:
        now += gap
        charges = [charge(str(name)) for name in {one, two}]
        states = small.take(charges, now)
        if not any(state.refused_new for state in states):
            assert states == large.take(charges, now)
    await small.close()


async def test_all_are_charged_or_none(buckets):
    spent, whole = charge("spent"), charge("whole")
    for _ in range(2):
        buckets.take([spent])
    assert [state.admitted for state in buckets.take([whole, spent])] == [True, False]
    assert buckets.take([whole])[0].level == SLOW.interval  # the first charge that it ever had


async def test_a_rule_written_twice_counts_once(buckets):
    for _ in range(2):
        assert all(state.admitted for state in buckets.take([charge(), charge()]))
    assert not buckets.take([charge()])[0].admitted


async def test_its_own_clock_fills_buckets(buckets):
    quick = quota(50, 1.0, 1)
    answers = [buckets.take([charge(numbers=quick)])[0].admitted for _ in range(2)]
    assert answers == [True, False]
    until = Table.now() + 30_000
    while Table.now() < until:
        await asyncio.sleep(0)
    assert buckets.take([charge(numbers=quick)])[0].admitted


async def test_it_never_suspends(buckets):
    waiting = buckets.acquire_tokens([charge()])
    with pytest.raises(StopIteration) as ended:
        waiting.send(None)
    assert ended.value.value[0].admitted
    assert inspect.getcoroutinestate(waiting) == inspect.CORO_CLOSED


async def test_a_full_table_refuses_new_keys(tmp_path):
    buckets = TokenBucketMachineStorage(tmp_path / "m", maximum_buckets=16, timeout=0.02)
    states = [buckets.take([charge(str(number))])[0] for number in range(17)]
    assert [state.refused_new for state in states] == [False] * 16 + [True]
    assert [state.refused_new for state in buckets.take([charge("0"), charge("new")])] == [False, True]
    await buckets.close()


async def test_two_new_keys_do_not_share_a_place(tmp_path):
    buckets = TokenBucketMachineStorage(tmp_path / "m", maximum_buckets=16, timeout=0.02)
    for pair in range(8):
        buckets.take([charge(f"{pair}a"), charge(f"{pair}b")])
    assert [buckets.take([charge(f"{pair}{half}")])[0].level for pair in range(8) for half in "ab"] == pytest.approx(
        [2 * SLOW.interval] * 16, rel=0.01
    )
    await buckets.close()


async def test_while_another_holds_it_everything_is_refused_at_once_and_then_it_recovers(
    tmp_path, buckets, monkeypatch
):
    """A worker that was stopped in the middle of a charge holds its lock until it goes on."""
    monkeypatch.setattr(machine, "_PROBES", (0.001,))
    stopped = Table.open(tmp_path / "machine", machine.NAME, 1024)
    stopped.lock()
    for _ in range(3):
        with pytest.raises(StorageError):
            await buckets.acquire_tokens([charge()])
    assert buckets.away
    stopped.unlock()
    until = Table.now() + 2_000
    while Table.now() < until:
        await asyncio.sleep(0)
    assert (await buckets.acquire_tokens([charge()]))[0].level == SLOW.interval  # the others charged nothing
    assert [line.split("(")[0].strip() for line in SAID] == [
        "limits: the machine's table cannot be used",
        "limits: the machine's table can be used again",
    ]
    stopped.close()


async def test_a_file_that_was_replaced_is_given_up_for_the_one_in_its_place(tmp_path, buckets, monkeypatch):
    """Or workers that start later would count in another file than those that run."""
    buckets.path.unlink()
    later = TokenBucketMachineStorage(tmp_path / "machine", maximum_buckets=1024, timeout=0.02)
    later.take([charge()])
    buckets._look_at = 0.0
    assert (await buckets.acquire_tokens([charge()]))[0].level > SLOW.interval
    assert "was removed or replaced" in SAID[0]
    await later.close()


async def test_a_damaged_level_is_an_error_not_an_admission(buckets):
    buckets.take([charge()])
    table = buckets._table
    table.put(table.place("k"), table.place("k").seen, Table.now() + 10**15, 0)
    with pytest.raises(StorageError, match="damaged"):
        await buckets.acquire_tokens([charge()])
