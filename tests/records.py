"""What every `ztproxy.store.records.Records` does. A test module makes it true of one by a fixture `records`."""

import asyncio

import pytest

from ztproxy.store.records import LONGEST_KEY, LONGEST_VALUE

NOW = 1_800_000_000.0


class Contract:
    async def test_what_was_added_is_there_until_its_end(self, records):
        assert await records.get(b"sone", NOW) is None
        assert await records.add(b"sone", b"value \x00\xff", NOW + 10, NOW)
        record = await records.get(b"sone", NOW + 9.9)
        assert (record.value, record.until) == (b"value \x00\xff", NOW + 10)
        assert await records.get(b"sone", NOW + 10) is None

    async def test_nothing_is_added_over_what_counts(self, records):
        assert await records.add(b"sone", b"first", NOW + 10, NOW)
        assert not await records.add(b"sone", b"second", NOW + 20, NOW + 9)
        assert (await records.get(b"sone", NOW + 9)).value == b"first"

    async def test_what_is_over_makes_place(self, records):
        assert await records.add(b"sone", b"first", NOW + 10, NOW, [b"oa"])
        assert await records.add(b"sone", b"second", NOW + 20, NOW + 10, [b"ob"])
        assert (await records.get(b"sone", NOW + 10)).value == b"second"
        assert await records.owned(b"oa", NOW + 10) == ()
        assert await records.owned(b"ob", NOW + 10) == (b"sone",)

    async def test_only_who_knows_the_version_changes_it_and_the_next_is_one_more(self, records):
        await records.add(b"sone", b"first", NOW + 10, NOW)
        first = await records.get(b"sone", NOW)
        assert not await records.replace(b"sone", first.version + 1, b"forged", NOW + 10, NOW)
        assert await records.replace(b"sone", first.version, b"second", NOW + 30, NOW)
        assert not await records.replace(b"sone", first.version, b"late", NOW + 99, NOW)
        second = await records.get(b"sone", NOW + 20)
        assert (second.value, second.version, second.until) == (b"second", first.version + 1, NOW + 30)

    async def test_what_is_over_cannot_be_changed(self, records):
        await records.add(b"sone", b"first", NOW + 10, NOW)
        version = (await records.get(b"sone", NOW)).version
        assert not await records.replace(b"sone", version, b"second", NOW + 99, NOW + 10)
        assert not await records.replace(b"sother", version, b"second", NOW + 99, NOW)
        assert await records.get(b"sone", NOW + 10) is None

    async def test_a_record_made_again_is_another(self, records):
        await records.add(b"sone", b"first", NOW + 10, NOW)
        version = (await records.get(b"sone", NOW)).version
        await records.remove(b"sone")
        await records.add(b"sone", b"second", NOW + 10, NOW)
        assert not await records.replace(b"sone", version, b"third", NOW + 10, NOW)

    async def test_it_is_taken_once_however_many_ask(self, records):
        await records.add(b"cone", b"code", NOW + 10, NOW)
        taken = await asyncio.gather(*(records.take(b"cone", NOW) for _ in range(20)))
        assert [one.value for one in taken if one is not None] == [b"code"]
        assert await records.get(b"cone", NOW) is None

    async def test_what_is_over_cannot_be_taken(self, records):
        await records.add(b"cone", b"code", NOW + 10, NOW)
        assert await records.take(b"cone", NOW + 10) is None

    async def test_it_is_added_once_however_many_try(self, records):
        added = await asyncio.gather(*(records.add(b"jone", b"%d" % n, NOW + 10, NOW) for n in range(20)))
        assert added.count(True) == 1

    async def test_one_of_many_changes_it(self, records):
        await records.add(b"sone", b"first", NOW + 10, NOW)
        version = (await records.get(b"sone", NOW)).version
        changed = await asyncio.gather(
            *(records.replace(b"sone", version, b"%d" % n, NOW + 10, NOW) for n in range(20))
        )
        assert changed.count(True) == 1

    async def test_removing_says_whether_there_was_one(self, records):
        await records.add(b"sone", b"first", NOW + 10, NOW, [b"oa"])
        assert await records.remove(b"sone")
        assert not await records.remove(b"sone")
        assert await records.owned(b"oa", NOW) == ()

    async def test_owners_find_what_counts(self, records):
        await records.add(b"sone", b"1", NOW + 10, NOW, [b"oa", b"ob"])
        await records.add(b"stwo", b"2", NOW + 20, NOW, [b"oa"])
        await records.add(b"sthree", b"3", NOW + 20, NOW, [b"oc"])
        assert set(await records.owned(b"oa", NOW)) == {b"sone", b"stwo"}
        assert set(await records.owned(b"ob", NOW)) == {b"sone"}
        assert set(await records.owned(b"oa", NOW + 10)) == {b"stwo"}
        assert await records.owned(b"onobody", NOW) == ()

    async def test_an_owner_stays_when_the_record_changes(self, records):
        await records.add(b"sone", b"1", NOW + 10, NOW, [b"oa"])
        version = (await records.get(b"sone", NOW)).version
        await records.replace(b"sone", version, b"2", NOW + 50, NOW)
        assert await records.owned(b"oa", NOW + 40) == (b"sone",)
        await records.take(b"sone", NOW + 40)
        assert await records.owned(b"oa", NOW + 40) == ()

    async def test_all_of_a_kind_are_listed_in_pages(self, records):
        for number in range(25):
            await records.add(b"s%02d" % number, b"value", NOW + 10 + number, NOW)
        await records.add(b"jother", b"value", NOW + 99, NOW)
        seen, cursor = {}, b""
        while cursor is not None:
            page = await records.listed(b"s", cursor, 10, NOW + 11)
            seen |= {key: record.value for key, record in page.records}
            cursor = page.cursor
        assert seen == {b"s%02d" % number: b"value" for number in range(2, 25)}

    async def test_they_are_counted_by_kind(self, records):
        for number in range(3):
            await records.add(b"s%d" % number, b"value", NOW + 10, NOW)
        await records.add(b"jother", b"value", NOW + 10, NOW)
        assert (await records.count(b"s", NOW), await records.count(b"x", NOW)) == (3, 0)
        await records.remove(b"s0")
        assert await records.count(b"s", NOW) == 2
        assert await records.count(b"s", NOW + 10_000) == 0

    async def test_sizes_that_no_store_takes_are_a_bug(self, records):
        for key, value, owners in (
            (b"s", b"", ()),
            (b"s" * (LONGEST_KEY + 1), b"", ()),
            (b"sone", b"x" * (LONGEST_VALUE + 1), ()),
            (b"sone", b"", [b"o%d" % number for number in range(9)]),
            (b"sone", b"", [b"o" * (LONGEST_KEY + 1)]),
        ):
            with pytest.raises(ValueError, match=r"at most|octets"):
                await records.add(key, value, NOW + 10, NOW, owners)
        await records.add(b"sone", b"x" * LONGEST_VALUE, NOW + 10, NOW)
        assert len((await records.get(b"sone", NOW)).value) == LONGEST_VALUE


class Bounded:
    """Of a fixture `small`: it takes 16 records of a kind, with 64 KiB together."""

    async def test_a_full_kind_refuses_and_keeps_what_it_has(self, small):
        from ztproxy.store.records import RecordsUnavailableError

        for number in range(16):
            assert await small.add(b"s%02d" % number, b"value", NOW + 10, NOW)
        with pytest.raises(RecordsUnavailableError) as refused:
            await small.add(b"smore", b"value", NOW + 10, NOW)
        assert refused.value.full
        assert await small.count(b"s", NOW) == 16
        assert await small.add(b"jother", b"value", NOW + 10, NOW), "another kind has room of its own"
        assert not await small.add(b"s00", b"value", NOW + 10, NOW)
        version = (await small.get(b"s00", NOW)).version
        assert await small.replace(b"s00", version, b"changed", NOW + 10, NOW)

    async def test_room_comes_back_when_records_go_or_are_over(self, small):
        for number in range(16):
            await small.add(b"s%02d" % number, b"value", NOW + 10, NOW)
        await small.remove(b"s03")
        assert await small.add(b"smore", b"value", NOW + 200, NOW)
        assert await small.add(b"slater", b"value", NOW + 300, NOW + 100)

    async def test_octets_are_bounded_too(self, small):
        from ztproxy.store.records import RecordsUnavailableError

        await small.add(b"sone", b"x" * 60_000, NOW + 10, NOW)
        version = (await small.get(b"sone", NOW)).version
        with pytest.raises(RecordsUnavailableError):
            await small.add(b"stwo", b"x" * 10_000, NOW + 10, NOW)
        with pytest.raises(RecordsUnavailableError):
            await small.replace(b"sone", version, b"x" * 70_000, NOW + 10, NOW)
        assert await small.replace(b"sone", version, b"x", NOW + 10, NOW)
        assert await small.add(b"stwo", b"x" * 10_000, NOW + 10, NOW)
