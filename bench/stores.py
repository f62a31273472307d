"""What a charge costs in each store that the processes of a machine could share, and what each does when things break.

    .venv/bin/python bench/stores.py            # a minute; candidates that are not installed are left out
    pip install lmdb; apt-get install redis-server

CPU time only, the server's included where there is one. Absolute figures change with the machine; the order does not.
"""

import multiprocessing
import os
import pathlib
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Protocol

import redis

from ztproxy.limits.bucket import quota
from ztproxy.limits.machine import TokenBucketMachineStorage
from ztproxy.limits.token_bucket import Charge

try:
    import lmdb
except ImportError:
    lmdb = None

KEYS = [f"*|token.subject|1000/1|1000|0|s26:https://login.corp.example{n}:alice{n:08}" for n in range(2000)]
QUOTA = quota(1000, 1.0, 1000)
PAIR = struct.Struct("<QQ")
ALONE, TOGETHER = 20_000, 5_000  # charges by one process, and by each of several
PATIENCE = 1.0  # seconds after which a charge that does not come back hangs


class Store(Protocol):
    """A candidate, opened in a folder by each process for itself."""

    def charge(self, keys: Sequence[str]) -> None:
        """Charge these buckets in one step."""

    def hold(self) -> None:
        """Be in the middle of a step."""


def charged(stored: bytes | None, now: int) -> bytes:
    """The arithmetic, alike for all that do it in Python."""
    at, level = PAIR.unpack(stored) if stored else (now, 0)
    level = max(0, level - (now - at) * QUOTA.pace)
    after = level + QUOTA.interval
    return PAIR.pack(now, after if after <= QUOTA.capacity else level)


class Own:
    """`machine://`."""

    timeout = 30.0  # while its cost is measured, nobody gives up

    def __init__(self, folder: pathlib.Path) -> None:
        self.buckets = TokenBucketMachineStorage(folder / "machine", maximum_buckets=65536, timeout=self.timeout)

    def charge(self, keys: Sequence[str]) -> None:
        self.buckets.take([Charge(key, QUOTA) for key in keys])

    def hold(self) -> None:
        self.buckets._table.lock()  # noqa: SLF001 - to be stopped within it is the point


class Lmdb:
    """LMDB without flushing: what a restart of the machine leaves behind would be thrown away."""

    writemap = False

    def __init__(self, folder: pathlib.Path) -> None:
        self.environment: Any = lmdb.open(
            str(folder / "lmdb"), map_size=1 << 26, sync=False, metasync=False, writemap=self.writemap
        )

    def charge(self, keys: Sequence[str]) -> None:
        now = time.monotonic_ns() // 1000
        with self.environment.begin(write=True) as step:
            for key in keys:
                name = key.encode()
                step.put(name, charged(step.get(name), now))

    def hold(self) -> None:
        self.held = self.environment.begin(write=True)
        self.held.put(b"k", b"v")


class LmdbMapped(Lmdb):
    """The same, written through the mapping."""

    writemap = True


class Sqlite:
    """SQLite with a write-ahead log, without flushing."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.database = sqlite3.connect(folder / "sqlite", isolation_level=None, timeout=30)
        self.database.execute("pragma journal_mode = wal")
        self.database.execute("pragma synchronous = off")
        self.database.execute("create table if not exists b (k text primary key, v blob) without rowid")

    def charge(self, keys: Sequence[str]) -> None:
        now, execute = time.monotonic_ns() // 1000, self.database.execute
        execute("begin immediate")
        for key in keys:
            found = execute("select v from b where k = ?", (key,)).fetchone()
            execute("insert or replace into b values (?, ?)", (key, charged(found and found[0], now)))
        execute("commit")

    def hold(self) -> None:
        self.database.execute("begin immediate")


class Redis:
    """Redis on a Unix socket, with the script of `redis://`, asked directly: without what an event loop adds."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.client = redis.Redis(unix_socket_path=str(folder / "redis.sock"))
        self.script = self.client.script_load(files("ztproxy.limits").joinpath("gcra.lua").read_text())

    def charge(self, keys: Sequence[str]) -> None:
        numbers = (QUOTA.pace, QUOTA.interval, QUOTA.capacity, 1, 1) * len(keys)
        self.client.evalsha(self.script, len(keys), *keys, "", *numbers)

    def hold(self) -> None:
        """There is no middle: the server does a step by itself."""


def _charge_many(make: Callable[[pathlib.Path], Store], folder: pathlib.Path, same: bool, told: Any) -> None:  # noqa: FBT001
    store, own = make(folder), KEYS[:1] if same else KEYS[os.getpid() % 7 * 250 :][:250]
    store.charge(own[:1])
    told.put(0.0)
    told.join()
    before = time.process_time()
    for number in range(TOGETHER):
        store.charge([own[number % len(own)]])
    told.put(time.process_time() - before)


def alone(make: Callable[[pathlib.Path], Store], folder: pathlib.Path, buckets: int) -> float:
    """Microseconds of a charge by the only process."""
    store = make(folder)
    for key in KEYS:
        store.charge([key])
    before = time.process_time()
    for number in range(ALONE):
        store.charge([KEYS[(number + 500 * which) % len(KEYS)] for which in range(buckets)])
    return (time.process_time() - before) / ALONE * 1e6


def together(make: Callable[[pathlib.Path], Store], folder: pathlib.Path, processes: int, *, same: bool) -> float:
    """Microseconds of CPU of a charge while several processes do nothing else."""
    told = multiprocessing.JoinableQueue()
    running = [multiprocessing.Process(target=_charge_many, args=(make, folder, same, told)) for _ in range(processes)]
    for each in running:
        each.start()
    for _ in running:
        told.get()
    for _ in running:
        told.task_done()
    total = sum(told.get(timeout=120) for _ in running)
    for each in running:
        each.join()
    return total / processes / TOGETHER * 1e6


def _hold(make: Callable[[pathlib.Path], Store], folder: pathlib.Path, told: Any) -> None:
    store = make(folder)
    store.hold()
    told.put(0.0)
    signal.pause()


def _charge_once(make: Callable[[pathlib.Path], Store], folder: pathlib.Path, opened: Any, go: Any) -> None:
    store = make(folder)
    store.charge(KEYS[:1])
    opened.set()
    go.wait()
    try:
        store.charge(KEYS[:1])
    except Exception:  # noqa: BLE001 - whatever a candidate raises
        sys.exit(1)


def outcome(make: Callable[[pathlib.Path], Store], folder: pathlib.Path, happens: Callable[[], None]) -> str:
    """What a charge by a process that runs already comes to after something has happened."""
    opened, go = multiprocessing.Event(), multiprocessing.Event()
    process = multiprocessing.Process(target=_charge_once, args=(make, folder, opened, go))
    process.start()
    opened.wait()
    happens()
    go.set()
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        return "hangs"
    return {0: "goes on", 1: "refuses"}.get(process.exitcode) or f"dies by {signal.Signals(-process.exitcode).name}"


def breaking(make: Callable[[pathlib.Path], Store], folder: pathlib.Path) -> list[str]:
    """Another process stops, or is killed, in the middle of a charge; then the files are cut to nothing."""
    Own.timeout = 0.25  # the default of limits.timeout
    told = multiprocessing.Queue()
    holding = multiprocessing.Process(target=_hold, args=(make, folder, told))

    def stops() -> None:
        holding.start()
        told.get()

    def is_killed() -> None:
        holding.kill()
        holding.join()

    def cut() -> None:
        for file in folder.rglob("*"):
            if file.is_file() and "lock" not in file.name:
                os.truncate(file, 0)

    return [outcome(make, folder, stops), _after(is_killed, make, folder), outcome(make, folder, cut)]


def _after(happens: Callable[[], None], make: Callable[[pathlib.Path], Store], folder: pathlib.Path) -> str:
    happens()
    return outcome(make, folder, lambda: None)


def _server_cpu(process: subprocess.Popen[bytes] | None) -> float:
    if process is None:
        return 0.0
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(make: Callable[[pathlib.Path], Store], folder: pathlib.Path, server: subprocess.Popen[bytes] | None) -> str:
    """A line of the table."""
    figures = []
    for count, measure in (
        *((ALONE, lambda n=n: alone(make, folder, n)) for n in (1, 2, 3)),
        *((2 * TOGETHER, lambda same=same: together(make, folder, 2, same=same)) for same in (False, True)),
        *((4 * TOGETHER, lambda same=same: together(make, folder, 4, same=same)) for same in (False, True)),
    ):
        before = _server_cpu(server)
        figures.append(f"{measure() + (_server_cpu(server) - before) / count * 1e6:.1f}")
    return " | ".join(["", make.__name__, *figures, *breaking(make, folder), ""]).strip()


def main() -> None:
    """Print the table."""
    multiprocessing.set_start_method("fork")
    print("| store | 1 bucket | 2 | 3 | 2 proc. | same key | 4 proc. | same key | one stopped | killed | file cut |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for make in (Own, *((LmdbMapped, Lmdb) if lmdb else ()), Sqlite, Redis):
        with tempfile.TemporaryDirectory() as name:
            folder, server = pathlib.Path(name), None
            if make is Redis:
                if shutil.which("redis-server") is None:
                    continue
                options = ["--port", "0", "--unixsocket", f"{name}/redis.sock", "--save", "", "--dir", name]
                server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
                while not (folder / "redis.sock").exists():
                    time.sleep(0.01)
            try:
                print(row(make, folder, server), flush=True)
            finally:
                if server is not None:
                    server.terminate()
                    server.wait()


if __name__ == "__main__":
    main()
