"""A name's addresses: one look-up for all who wait, renewed beside the requests, kept while that fails."""

import asyncio
import socket

import pytest

from ztproxy.upstream import addresses
from ztproxy.upstream.addresses import Addresses, in_turn, look_up

FOUR, SIX = int(socket.AF_INET), int(socket.AF_INET6)


def four(number: int):
    return (FOUR, 1, 6, "", (f"10.0.0.{number}", 80))


def six(number: int):
    return (SIX, 1, 6, "", (f"2001:db8::{number}", 80, 0, 0))


class Lookup:
    """Answers as told, and counts."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.held = asyncio.Event()
        self.held.set()

    async def __call__(self, host, port):
        self.asked += 1
        await self.held.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def gone():
    return []


def build(lookup, gone, lifetime=30.0) -> Addresses:
    return Addresses("app.test", 80, lifetime, lookup, gone.append)


async def settled(one: Addresses) -> None:
    while one._task is not None:
        await asyncio.sleep(0)


def test_another_first_each_turn_within_its_family():
    infos = [six(1), four(1), six(2), four(2)]
    assert in_turn(infos, 0) == [six(1), six(2), four(1), four(2)]
    assert in_turn(infos, 1) == [six(2), six(1), four(2), four(1)]
    assert in_turn(infos, 2) == in_turn(infos, 0)
    assert in_turn([], 5) == []


async def test_all_who_wait_share_one_look_up(gone):
    lookup = Lookup([four(1), four(2)])
    one = build(lookup, gone)
    found = await asyncio.gather(*(one.get(100.0) for _ in range(4)))
    assert lookup.asked == 1
    assert [infos[0] for infos in found] == [four(1), four(2), four(1), four(2)]


async def test_who_stops_waiting_stops_nobody_else(gone):
    lookup = Lookup([four(1)])
    lookup.held.clear()
    one = build(lookup, gone)
    first, second = (asyncio.ensure_future(one.get(100.0)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    lookup.held.set()
    assert await second == [four(1)]
    assert lookup.asked == 1


async def test_renewed_beside_the_requests(gone):
    lookup = Lookup([four(1)], [four(2)])
    one = build(lookup, gone)
    now = asyncio.get_running_loop().time()
    await one.get(now)
    assert await one.get(now + 10) == [four(1)]
    assert lookup.asked == 1
    assert await one.get(now + 31) == [four(1)]  # nobody waits for the new one
    await settled(one)
    assert lookup.asked == 2
    assert await one.get(now + 31) == [four(2)]


async def test_those_that_are_gone_are_told(gone):
    lookup = Lookup([four(1), six(1)], [six(1), four(3)])
    one = build(lookup, gone)
    now = asyncio.get_running_loop().time()
    await one.get(now)
    assert gone == []
    one.refresh(now + 31)
    await settled(one)
    assert gone == [frozenset({("10.0.0.1", 80)})]


async def test_while_looking_up_fails_the_last_ones_stay(gone):
    lookup = Lookup([four(1)], OSError("no such name"))
    one = build(lookup, gone)
    now = asyncio.get_running_loop().time()
    await one.get(now)
    for later in (31, 62):
        assert await one.get(now + later) == [four(1)]
        await settled(one)
    assert lookup.asked == 3
    assert gone == []


@pytest.mark.parametrize("wrong", [OSError("no such name"), UnicodeError("label too long")])
async def test_where_none_is_known_the_first_failure_is_told(gone, wrong):
    one = build(Lookup(wrong), gone)
    with pytest.raises(type(wrong)):
        await one.get(100.0)


async def test_a_name_that_failed_is_not_asked_for_at_once(gone):
    lookup = Lookup(OSError("no such name"))
    one = build(lookup, gone)
    now = asyncio.get_running_loop().time()
    with pytest.raises(OSError, match="no such name"):
        await one.get(now)
    with pytest.raises(OSError, match=r"app\.test could not be resolved: no such name"):
        await one.get(now + 0.5)
    assert lookup.asked == 1
    with pytest.raises(OSError, match="no such name"):
        await one.get(now + 5)
    assert lookup.asked == 2


async def test_no_address_is_a_failure(gone):
    with pytest.raises(OSError, match="no address"):
        await build(Lookup([]), gone).get(100.0)


async def test_their_number_is_bounded(gone):
    many = [four(number) for number in range(200)]
    assert len(await build(Lookup(many), gone).get(100.0)) == addresses.MOST


async def test_what_another_knew_is_used_until_it_is_looked_up_again(gone):
    before, lookup = build(Lookup([four(1)]), gone), Lookup(OSError("away"))
    await before.get(100.0)
    after = build(lookup, gone)
    after.adopt(before)
    assert await after.get(100.0) == [four(1)]
    await settled(after)
    assert lookup.asked == 1


async def test_the_system_is_asked():
    assert {info[4][1] for info in await look_up("localhost", 8080)} == {8080}
