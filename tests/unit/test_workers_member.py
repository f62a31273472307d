import asyncio
import socket
from types import SimpleNamespace

import pytest

from tests.listening import until
from ztproxy.workers.channel import Channel, to_worker
from ztproxy.workers.member import Member, WorkerLostError
from ztproxy.workers.messages import Ask, Commit, Committed, Failed, Prepare, Prepared, Reply

pytestmark = pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="needs sockets that are handed on")


class Talk:
    """A member, and the other end of its channel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.told: list[object] = []
        self.member = Member(SimpleNamespace(pid=1), ours, 1)
        self.worker = Channel(theirs, to_worker(), lambda message, _: self.told.append(message), lambda: None)


@pytest.fixture
async def talk():
    made = Talk()
    yield made
    made.worker.close()
    made.member._channel.close()


def order(generation: int) -> Prepare:
    return Prepare(generation, "version: 1", "/z.yaml", None, 1)


async def test_an_order_is_answered_and_a_worker_that_commits_is_ready(talk):
    preparing = asyncio.create_task(talk.member.prepare(order(1)))
    await until(lambda: talk.told == [order(1)])
    assert talk.member.state == "starting"
    talk.worker.send(Prepared(1, "revision", "read"))
    assert await preparing == Prepared(1, "revision", "read")
    committing = asyncio.create_task(talk.member.commit(Commit(1, ()), []))
    talk.worker.send(Committed(1, ("listening",)))
    assert (await committing).summary == ("listening",)
    assert talk.member.state == "ready"


async def test_the_answer_to_an_order_that_was_given_up_is_not_taken_for_the_next_ones(talk):
    preparing = asyncio.create_task(talk.member.prepare(order(2)))
    await until(lambda: talk.told)
    talk.worker.send(Prepared(1, "old", "old"))
    talk.worker.send(Failed(2, ("wrong",)))
    assert await preparing == Failed(2, ("wrong",))


async def test_a_worker_that_ends_in_the_middle_is_lost_and_is_asked_nothing_more(talk):
    preparing = asyncio.create_task(talk.member.prepare(order(1)))
    asking = asyncio.create_task(talk.member.ask("ping", 60.0))
    await until(lambda: len(talk.told) == 2)
    talk.worker.close()
    with pytest.raises(WorkerLostError):
        await preparing
    assert await asking is None
    assert await talk.member.ask("ping", 60.0) is None
    with pytest.raises(WorkerLostError):
        await talk.member.prepare(order(2))


async def test_questions_are_answered_whatever_else_is_going_on(talk):
    preparing = asyncio.create_task(talk.member.prepare(order(1)))
    first, second = (asyncio.create_task(talk.member.ask(what, 60.0)) for what in ("ping", "status"))
    await until(lambda: len(talk.told) == 3)
    numbers = {one.what: one.number for one in talk.told if isinstance(one, Ask)}
    talk.worker.send(Reply(numbers["status"], b"well"))
    talk.worker.send(Reply(numbers["ping"], b""))
    assert (await first, await second) == (b"", b"well")
    assert not preparing.done()
    preparing.cancel()


async def test_an_answer_that_comes_too_late_is_none(talk):
    assert await talk.member.ask("ping", 0.01) is None
    await until(lambda: talk.told)
    talk.worker.send(Reply(talk.told[0].number, b"late"))
    before = talk.member.answered_at
    await until(lambda: talk.member.answered_at > before)
