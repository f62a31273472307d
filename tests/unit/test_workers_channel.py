import asyncio
import contextlib
import os
import socket
from collections import deque

import pytest

from tests.listening import until
from ztproxy.workers.channel import LONGEST, Channel, from_worker, to_worker
from ztproxy.workers.messages import Ask, Commit, Failed, Reopen, Reply

pytestmark = pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="needs sockets that are handed on")


class Ends:
    """Both ends of a channel, and what each was told."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.raw = ours
        self.heard_by_worker: list[object] = []
        self.heard_by_supervisor: list[object] = []
        self.sockets: list[socket.socket] = []
        self.lost: list[str] = []
        self.supervisor = Channel(ours, from_worker(), self._by_supervisor, lambda: self.lost.append("supervisor"))
        self.worker = Channel(theirs, to_worker(), self._by_worker, lambda: self.lost.append("worker"))

    def _by_supervisor(self, message: object, _sockets: deque[socket.socket]) -> None:
        self.heard_by_supervisor.append(message)

    def _by_worker(self, message: object, sockets: deque[socket.socket]) -> None:
        self.heard_by_worker.append(message)
        if isinstance(message, Commit):
            self.sockets += [sockets.popleft() for _ in message.addresses]


@pytest.fixture
async def ends():
    made = Ends()
    yield made
    made.supervisor.close()
    made.worker.close()
    for sock in made.sockets:
        sock.close()


async def test_messages_arrive_whole_and_in_order(ends):
    long = Failed(1, tuple("x" * 100_000 for _ in range(50)))  # far more than the sockets take at once
    ends.worker.send(long)
    ends.worker.send(Reply(2, b"y"))
    ends.supervisor.send(Ask(7, "ping"))
    ends.supervisor.send(Reopen())
    await until(lambda: len(ends.heard_by_supervisor) == 2 and len(ends.heard_by_worker) == 2)
    assert ends.heard_by_supervisor == [long, Reply(2, b"y")]
    assert ends.heard_by_worker == [Ask(7, "ping"), Reopen()]


async def test_sockets_arrive_with_their_message_and_are_the_same_sockets(ends):
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ends.supervisor.send(Ask(1, "ping"))
        ends.supervisor.send(Commit(1, ("a", "b")), [first, second])
        ends.supervisor.send(Ask(2, "ping"))
        await until(lambda: len(ends.heard_by_worker) == 3)
        assert [one.getsockname() for one in ends.sockets] == [first.getsockname(), second.getsockname()]
        assert not any(os.get_inheritable(one.fileno()) for one in ends.sockets)
        with pytest.raises(ValueError, match="more than 200"):
            ends.supervisor.send(Commit(1, ()), [first] * 201)


async def test_sockets_that_were_closed_before_their_turn_arrive_all_the_same(ends):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None  # noqa: PTH112, PTH208
    ends.supervisor.send(Failed(1, ("x" * 5_000_000,)))  # type: ignore[arg-type]  # only its size matters: it is never read
    with socket.create_server(("127.0.0.1", 0)) as sock:
        ends.supervisor.send(Commit(1, ("a",)), [sock])
    ends.supervisor.close()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) < before  # noqa: PTH208


async def test_the_end_of_the_other_side_is_told_once(ends):
    ends.supervisor.close()
    await until(lambda: ends.lost)
    ends.worker.send(Reply(1, b""))
    ends.worker.close()
    await asyncio.sleep(0)
    assert ends.lost == ["worker"]


async def test_a_length_beyond_all_measure_ends_the_channel(ends):
    with contextlib.suppress(BlockingIOError):
        ends.raw.send((LONGEST + 1).to_bytes(4, "big"))
    await until(lambda: ends.lost)
    assert ends.worker.closed
