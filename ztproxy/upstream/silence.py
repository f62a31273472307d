"""Whether a connection that should be silent is: asked of its socket, not of what the event loop has seen so far."""

import asyncio
import select


def is_silent(transport: asyncio.BaseTransport) -> bool:
    """False once the peer has closed, or said anything; where it cannot be known, the event loop's word counts."""
    sock = transport.get_extra_info("socket")
    descriptor = -1 if sock is None else sock.fileno()
    if descriptor < 0:
        return sock is None
    if not hasattr(select, "poll"):  # Windows
        return not select.select([descriptor], [], [], 0)[0]
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)  # errors and hang-ups are told unasked
    return not poll.poll(0)
