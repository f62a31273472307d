import pytest

from tests.records import NOW, Bounded, Contract
from ztproxy.store.records_memory import MemoryRecords


@pytest.fixture
def records():
    return MemoryRecords()


@pytest.fixture
def small():
    return MemoryRecords(16, 64 * 1024 + 512 * 4)


class TestMemory(Contract):
    pass


class TestBounds(Bounded):
    @pytest.fixture
    def small(self):
        return MemoryRecords(16, 16 * 512 + 60_000)


async def test_a_record_that_is_changed_again_and_again_takes_the_room_of_one(records):
    await records.add(b"sone", b"0", NOW + 10, NOW)
    for number in range(1000):
        version = (await records.get(b"sone", NOW)).version
        await records.replace(b"sone", version, b"%d" % number, NOW + 10 + number, NOW)
    assert len(records._ends) < 100
    assert await records.count(b"s", NOW + 2000) == 0
