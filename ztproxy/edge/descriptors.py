"""File descriptors: a connection is one, and the system's default for a process is often 1,024."""

import contextlib

MOST = 1 << 20
"""More is of no use, and some systems allow a thousand times as many."""


def raise_limit() -> int | None:
    """Let this process open as many files as it is allowed to; how many that is, None where nobody says."""
    try:
        import resource  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower bound of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
