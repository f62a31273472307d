"""Who is at the other end of a Unix socket, as the kernel says."""

import os
import socket
import struct

_LOCAL_PEERCRED = 0x001
"""macOS and the BSDs; getsockopt at level 0 gives a `struct xucred`, whose second field is the user."""


def user_of(sock: socket.socket) -> int | None:
    """The user of the process that connected; None where the system does not say."""
    try:
        if hasattr(socket, "SO_PEERCRED"):
            found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return int(struct.unpack("3i", found)[1])
        found = sock.getsockopt(0, _LOCAL_PEERCRED, 76)
        return int(struct.unpack_from("2I", found)[1])
    except (OSError, struct.error):
        return None


def is_ours(sock: socket.socket) -> bool:
    """Whether our own user, or root, is at the other end."""
    return user_of(sock) in {0, os.geteuid()}
