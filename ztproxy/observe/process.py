"""What a worker's process costs: processor time, memory, descriptors. Where a system does not tell, it is left out."""

import os
import platform
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ztproxy
from ztproxy.observe import catalogue as series
from ztproxy.observe.series import Reading

_DESCRIPTORS = (Path("/proc/self/fd"), Path("/dev/fd"))


class Process:
    """This process.

    Args:
        worker: its name among the workers, the same for the one that takes its place.
        started: seconds since 1970.
        resident: tells its memory in octets, where the system tells.
    """

    def __init__(self, worker: str, started: float, resident: Callable[[], int] | None = None) -> None:
        self.worker = worker
        self.started = started
        self._resident = resident

    def readings(self) -> Iterator[Reading]:
        """For the metrics."""
        of = (self.worker,)
        yield series.CPU, of, time.process_time()
        yield series.STARTED, of, self.started
        if self._resident is not None:
            yield series.RESIDENT, of, self._resident()
        if (descriptors := open_descriptors()) is not None:
            yield series.DESCRIPTORS, of, descriptors
        openssl = " ".join(ssl.OPENSSL_VERSION.split()[:2])
        yield series.BUILD_INFO, (ztproxy.__version__, platform.python_version(), openssl), 1


def open_descriptors() -> int | None:
    """How many are open, without the one that is needed to look."""
    for folder in _DESCRIPTORS:
        try:
            return len(os.listdir(folder)) - 1  # noqa: PTH208 - a list of names is all that is needed
        except OSError:
            continue
    return None
