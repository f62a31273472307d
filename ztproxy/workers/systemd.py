"""What systemd wants to know, and the sockets that it hands over (sd_notify(3), sd_listen_fds(3))."""

import os
import socket
import time
from collections.abc import MutableMapping

_FIRST = 3
"""SD_LISTEN_FDS_START."""


class Notify:
    """Tells the service manager how we are; tells nobody where there is none.

    Args:
        address: NOTIFY_SOCKET: a path, or an abstract name after `@`.
    """

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        if address and address[0] in "/@" and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
            self._socket.setblocking(False)  # noqa: FBT003 - the standard library's own order
            self._address = "\0" + address[1:] if address[0] == "@" else address

    def __call__(self, **facts: str | int) -> None:
        """Tell facts: `READY=1`, `STATUS=…`. What cannot be told is not waited for."""
        if self._socket is None:
            return
        text = "\n".join(f"{name}={str(fact).replace(chr(10), ' ')}" for name, fact in facts.items())
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:  # the manager is away or slow; its watchdog says so where it matters
            return

    def ready(self, status: str) -> None:
        """It serves."""
        self(READY=1, STATUS=status)

    def reloading(self) -> None:
        """A reload began; `ready` ends it."""
        self(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def close(self) -> None:
        """Nothing more will be told."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def stopping(self, status: str) -> None:
        """It ends."""
        self(STOPPING=1, STATUS=status)


def watchdog_interval(environment: MutableMapping[str, str], pid: int) -> float | None:
    """Seconds within which `WATCHDOG=1` has to come; None where nobody waits for it."""
    wanted = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", str(pid))
    return int(wanted) / 1e6 if wanted.isdecimal() and int(wanted) > 0 and meant == str(pid) else None


def take_sockets(environment: MutableMapping[str, str], pid: int) -> list[tuple[str, socket.socket]]:
    """The listening sockets that were handed over, each with its name; the variables are removed.

    Args:
        environment: of this process; what it starts must not take the sockets for its own.
        pid: of this process: sockets for another are not ours.
    """
    count, meant = environment.pop("LISTEN_FDS", ""), environment.pop("LISTEN_PID", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if not count.isdecimal() or meant != str(pid):
        return []
    taken = []
    for index in range(int(count)):
        os.set_inheritable(_FIRST + index, False)  # noqa: FBT003 - the standard library's own order
        sock = socket.socket(fileno=_FIRST + index)
        sock.setblocking(False)  # noqa: FBT003 - likewise
        taken.append((names[index] if index < len(names) else "", sock))
    return taken
