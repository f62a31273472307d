"""How much memory the process has in RAM, as far as the system tells."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path

_STATM = Path("/proc/self/statm")


def resident_memory() -> Callable[[], int] | None:
    """What tells the process's resident memory in octets: Linux itself, else psutil; None where there is neither."""
    if _STATM.exists():
        return _of_linux
    try:
        process = importlib.import_module("psutil").Process()
    except ImportError:
        return None
    return lambda: int(process.memory_info().rss)


def _of_linux() -> int:
    return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
