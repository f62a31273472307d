"""Several processes and one table: what they admit together, and what is left when one of them is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional import charging
from ztproxy.limits.bucket import SECOND, quota
from ztproxy.limits.machine import TokenBucketMachineStorage
from ztproxy.limits.token_bucket import Charge
from ztproxy.store import Table

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


class Charging:
    """A process of `tests.functional.charging` that waits to be told to begin."""

    def __init__(self, folder: Path, *numbers: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.functional.charging", str(folder), *map(str, numbers)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        assert self.process.stdout.read(1) == b"\n"

    def begin(self) -> None:
        self.process.stdin.write(b"\n")

    def admitted(self, least: int) -> int:
        """Wait until so many charges were admitted; returns how many."""
        count = 0
        while count < least:
            count += self.process.stdout.read(1024).count(b"a")
        return count

    def ended(self) -> int:
        """How many more were admitted until its end."""
        said = self.process.stdout.read()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        return said.count(b"a")


def test_four_processes_admit_exactly_the_burst(tmp_path):
    processes = [Charging(tmp_path / "machine", 1, 86400, 5000, 3) for _ in range(4)]
    for each in processes:
        each.begin()
    assert sum([each.ended() for each in processes]) == 5000


def test_four_processes_admit_exactly_burst_and_rate_times_time(tmp_path):
    """From the first to the last charge; each of them always wants more than there is."""
    limit, burst = 2000, 100
    processes = [Charging(tmp_path / "machine", limit, 1, burst, 2) for _ in range(4)]
    earliest = Table.now()
    for each in processes:
        each.begin()
    all_begun = Table.now()
    counts = [each.ended() for each in processes]
    longest = (Table.now() - earliest) / SECOND
    assert all_begun - earliest < SECOND
    assert burst + limit * 1.5 < sum(counts) <= burst + limit * longest


def test_killed_in_the_middle_of_charges_nothing_is_held_filled_or_damaged(tmp_path):
    """Twelve processes are killed while they charge: the bucket holds every charge that was admitted, and each kill
    costs one more at most. What is left serves on, at once."""
    folder, kills = tmp_path / "machine", 12
    numbers = quota(1, 3600.0, 500_000)
    processes = [Charging(folder, 1, 3600, numbers.burst, 60) for _ in range(4)]
    survivor = TokenBucketMachineStorage(folder, maximum_buckets=charging.PLENTY, timeout=30)
    charge, own, admitted, level = Charge(charging.KEY, numbers), 0, 0, 0
    for each in processes:
        each.begin()
    for kill in range(kills):
        victim = processes.pop(0)
        admitted += victim.admitted(50 + kill * 37)
        victim.process.kill()
        admitted += victim.ended()
        (state,) = survivor.take([charge])
        assert state.admitted
        assert state.level > level - numbers.pace * SECOND * 60
        own, level = own + 1, state.level
        if kill < kills - 4:
            processes.append(Charging(folder, 1, 3600, numbers.burst, 60))
            processes[-1].begin()
    charged = numbers.burst - numbers.remaining(survivor.take([Charge(charging.KEY, numbers, 0)])[0].level)
    assert admitted + own <= charged <= admitted + own + kills
