"""Messages and sockets between the supervisor and a worker, over a pair of Unix sockets.

A message is its length in four octets, then MessagePack. Sockets travel beside the first octets of their message.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from ztproxy.workers.messages import FromWorker, ToWorker

LONGEST = 64 << 20
"""Octets of one message; the other side is our own program, so a longer one is a bug."""
MOST_SOCKETS = 200
"""That go with one message; the kernel allows 253."""
_PIECE = 65_536
_LENGTH = 4

Heard = TypeVar("Heard")


class Channel(Generic[Heard]):
    """One end. Neither sending nor hearing ever blocks.

    Args:
        sock: one end of `socket.socketpair`; the channel owns it.
        understood: what the other end says.
        told: called with each message, and the sockets that came by then and nobody has taken.
        lost: called once, when the other end is gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        understood: msgspec.msgpack.Decoder[Heard],
        told: Callable[[Heard, deque[socket.socket]], None],
        lost: Callable[[], None],
    ) -> None:
        sock.setblocking(False)  # noqa: FBT003 - the standard library's own order
        self._sock = sock
        self._decoder = understood
        self._told = told
        self._lost = lost
        self._encoder = msgspec.msgpack.Encoder()
        self._loop = asyncio.get_running_loop()
        self._heard = bytearray()
        self._sockets: deque[socket.socket] = deque()
        self._waiting: deque[tuple[bytes, Sequence[int]]] = deque()
        self.closed = False
        self._loop.add_reader(sock, self._readable)

    def send(self, message: ToWorker | FromWorker, sockets: Sequence[socket.socket] = ()) -> None:
        """Send a message and copies of sockets with it; nothing happens when the other end is gone."""
        if self.closed:
            return
        if len(sockets) > MOST_SOCKETS:
            raise ValueError(f"more than {MOST_SOCKETS} sockets")
        body = self._encoder.encode(message)
        # Copies, because the sockets may be closed here before it is their turn.
        copies = [os.dup(sock.fileno()) for sock in sockets]
        self._waiting.append((len(body).to_bytes(_LENGTH, "big") + body, copies))
        if len(self._waiting) == 1:
            self._writable()

    def close(self) -> None:
        """Close this end; what was not sent yet is not sent."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        while self._waiting:
            _close_all(self._waiting.popleft()[1])
        while self._sockets:
            self._sockets.popleft().close()

    def _writable(self) -> None:
        while self._waiting:
            octets, descriptors = self._waiting[0]
            try:
                if descriptors:
                    sent = socket.send_fds(self._sock, [octets], list(descriptors))
                else:
                    sent = self._sock.send(octets)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock, self._writable)
                return
            except OSError:
                self._gone()
                return
            _close_all(descriptors)
            if sent < len(octets):
                self._waiting[0] = (octets[sent:], ())
            else:
                self._waiting.popleft()
        self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            octets, descriptors, _, _ = socket.recv_fds(self._sock, _PIECE, MOST_SOCKETS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            octets, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's own order
            self._sockets.append(socket.socket(fileno=descriptor))
        if not octets:
            self._gone()
            return
        self._heard += octets
        self._hear()

    def _hear(self) -> None:
        while len(self._heard) >= _LENGTH and not self.closed:
            length = int.from_bytes(self._heard[:_LENGTH], "big")
            if length > LONGEST:
                self._gone()
                return
            if len(self._heard) < _LENGTH + length:
                return
            body = bytes(self._heard[_LENGTH : _LENGTH + length])
            del self._heard[: _LENGTH + length]
            self._told(self._decoder.decode(body), self._sockets)

    def _gone(self) -> None:
        if not self.closed:
            self.close()
            self._lost()


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def to_worker() -> msgspec.msgpack.Decoder[ToWorker]:
    """Reads what a supervisor says."""
    return msgspec.msgpack.Decoder(ToWorker)


def from_worker() -> msgspec.msgpack.Decoder[FromWorker]:
    """Reads what a worker says."""
    return msgspec.msgpack.Decoder(FromWorker)
