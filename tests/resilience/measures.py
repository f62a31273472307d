"""What the system says of a process: processor time, memory, file descriptors."""

import os
import resource
from pathlib import Path

FULL = os.environ.get("ZTPROXY_RESILIENCE") == "full"
"""Whether the long runs are as long as they are meant to be; otherwise they are a hundredth or a tenth of it."""


def loop_seconds(pid: int) -> float:
    """Processor time of the process's first thread, which runs the event loop."""
    return _seconds(Path(f"/proc/{pid}/task/{pid}/schedstat"))


def _seconds(schedstat: Path) -> float:
    return int(schedstat.read_text().split()[0]) / 1e9


def resident_kb(pid: int) -> int:
    """Memory that the process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


def descriptors(pid: int) -> int:
    """Files and sockets that the process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def allow_descriptors(count: int) -> bool:
    """Let this process, and those it starts, open so many files; False where the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        return False
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return True
