"""Which run of the machine this is. A monotonic clock begins anew with each, so moments noted before mean nothing."""

import subprocess
import sys
from pathlib import Path

_LINUX = Path("/proc/sys/kernel/random/boot_id")
_OFFSETS = Path("/proc/self/timens_offsets")
"""What a time namespace adds to the clocks of its processes; absent where the kernel has none."""
_APPLE = ("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid")


def boot() -> str | None:
    """A word that differs after every start of the machine; None where the system has none."""
    try:
        if sys.platform == "darwin":
            answer = subprocess.run(_APPLE, capture_output=True, text=True, check=True, timeout=5)  # noqa: S603 - constant
            return answer.stdout.strip() or None
        return _LINUX.read_text().strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def clock() -> str:
    """Which monotonic clock this process reads: two that differ in this word do not read the same one."""
    try:
        return " ".join(_OFFSETS.read_text().split())
    except OSError:
        return ""
