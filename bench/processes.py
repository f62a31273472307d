"""Starts the measured programs on their core, waits until they listen, and stops them by their process id."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

PROXY_CORE, LOAD_CORE = map(str, (sorted(os.sched_getaffinity(0)) * 2)[:2])  # where there is only one, ratios blur
BOTH_CORES = f"{PROXY_CORE},{LOAD_CORE}"
START_DEADLINE = 60.0  # seconds until a program must listen
SETTLE_DEADLINE = 10.0  # seconds until what was started is measured in any case
SETTLED = 0.3  # seconds without a hundredth of processor time
STOP_DEADLINE = 5.0  # seconds between SIGTERM and SIGKILL


class StartFailed(Exception):  # noqa: N818 - reads as what happened, in a row of the table
    """A program ended, or did not listen in time; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Program:
    """One process of a row: its command, where it listens once it is ready, and what it needs beside."""

    name: str
    command: Sequence[str]
    ready: int | pathlib.Path  # a TCP port on loopback or a Unix socket
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """Programs that were started."""

    processes: Sequence[subprocess.Popen[bytes]]

    @property
    def pids(self) -> Sequence[int]:
        """Their process ids as of now, children included: a supervisor listens before its workers are there."""
        return [pid for process in self.processes for pid in _family(process.pid)]

    def settle(self) -> None:
        """Wait, for so long at most, until nothing of it still starts: a second worker does when the first serves."""
        deadline = time.monotonic() + SETTLE_DEADLINE
        before = -1
        while (ticks := sum(map(_ticks, self.pids))) != before and time.monotonic() < deadline:
            before = ticks
            time.sleep(SETTLED)


def pinned(cores: str, command: Sequence[str]) -> list[str]:
    """Let a command run on these cores only; `taskset` replaces itself, so the process id stays the command's."""
    taskset = shutil.which("taskset")
    if taskset is None:
        raise StartFailed("taskset is missing: install util-linux")
    return [taskset, "-c", cores, *command]


@contextlib.contextmanager
def started(programs: Sequence[Program], cores: str, logs: pathlib.Path) -> Iterator[Running]:
    """Run the programs in their order, each ready before the next."""
    with contextlib.ExitStack() as stack:
        yield Running([stack.enter_context(_running(program, cores, logs)) for program in programs])


@contextlib.contextmanager
def _running(program: Program, cores: str, logs: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    log = logs / f"{program.name}.log"
    if isinstance(program.ready, pathlib.Path):
        program.ready.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(cores, program.command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **program.environment},
            start_new_session=True,
        )
    try:
        _wait_until_ready(program, process, log)
        yield process
    finally:
        _stop(process)


def _wait_until_ready(program: Program, process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while not _listens(program.ready):
        if process.poll() is not None or time.monotonic() > deadline:
            how = "does not listen" if process.returncode is None else f"ended with {process.returncode}"
            lines = log.read_text(errors="replace").strip().splitlines()[-5:]
            raise StartFailed(f"{program.name} {how}: " + " | ".join(lines)[-600:])
        time.sleep(0.05)


def _listens(ready: int | pathlib.Path) -> bool:
    family, address = (socket.AF_INET, ("127.0.0.1", ready)) if isinstance(ready, int) else (socket.AF_UNIX, str(ready))
    with socket.socket(family) as probe:
        probe.settimeout(1)
        return probe.connect_ex(address) == 0


def _family(pid: int) -> list[int]:
    family = [pid]
    for member in family:  # grows while it is walked: children of children
        for children in pathlib.Path(f"/proc/{member}/task").glob("*/children"):
            family += [int(child) for child in children.read_text().split()]
    return family


def _ticks(pid: int) -> int:
    """Processor time of a process in hundredths of a second; none of one that has ended."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return sum(map(int, stat.rpartition(")")[2].split()[11:13]))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started: its children are in its own session, which nothing else is in."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_DEADLINE)


def free_port() -> int:
    """Give a TCP port on loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
