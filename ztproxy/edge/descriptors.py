"""File descriptors: a connection is one, and the system's default for a process is often 1,024."""

import contextlib


def raise_limit() -> int | None:
    """Let this process open as many files as it is allowed to; how many that is, None where nobody says."""
    try:
        import resource  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower bound of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
