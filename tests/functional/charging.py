"""A process that charges one bucket of the machine's as fast as it can, and says what it got.

    python -m tests.functional.charging FOLDER LIMIT PERIOD BURST SECONDS

Prints a line once it begins, an `a` for each charge that was admitted, written before the next one is tried, and after
SECONDS `.`; with its standard input closed it ends.
"""

import os
import sys
from pathlib import Path

from ztproxy.limits.bucket import SECOND, quota
from ztproxy.limits.machine import TokenBucketMachineStorage
from ztproxy.limits.token_bucket import Charge
from ztproxy.store import Table

KEY = "shared"
PLENTY = 4096


def main(folder: str, limit: str, period: str, burst: str, seconds: str) -> None:
    storage = TokenBucketMachineStorage(Path(folder), maximum_buckets=PLENTY, timeout=30)
    charge = Charge(KEY, quota(int(limit), float(period), int(burst)))
    others = [Charge(f"of {os.getpid()}", quota(1000, 1.0, 1000), 1, False)]
    os.write(1, b"\n")
    sys.stdin.readline()
    until = Table.now() + int(float(seconds) * SECOND)
    while Table.now() < until:
        if storage.take([charge, *others])[0].admitted:
            os.write(1, b"a")
    os.write(1, b".")


if __name__ == "__main__":
    main(*sys.argv[1:])
