import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ztproxy.store import FullError, StoreError, Table
from ztproxy.store.file import HEADER
from ztproxy.store.table import SET

HOUR = 3_600_000_000


@pytest.fixture
def table(tmp_path):
    made = Table.open(tmp_path / "machine", "t", 64, patience=0.02)
    yield made
    made.close()


def later():
    return Table.now() + HOUR


def test_what_one_process_notes_another_finds(tmp_path, table):
    other = Table.open(tmp_path / "machine", "t", 64)
    until = later()
    assert table.add("jti", 7, until)
    assert other.get("jti") == (7, until)
    assert other.get("another") is None
    other.close()


def test_a_key_is_added_once_until_its_end(table):
    assert table.add("jti", 1, later())
    assert not table.add("jti", 2, later())
    assert table.get("jti")[0] == 1


def test_what_has_come_to_its_end_is_not_there(table):
    table.add("jti", 1, Table.now() - 1)
    assert table.get("jti") is None
    assert table.add("jti", 2, later())
    assert table.get("jti")[0] == 2


def test_a_value_is_set_only_if_it_is_the_expected_one(table):
    assert not table.compare_and_set("k", 1, 2, later())
    assert table.compare_and_set("k", None, 2, later())
    assert not table.compare_and_set("k", None, 3, later())
    assert table.compare_and_set("k", 2, 3, later())
    assert table.get("k")[0] == 3


def test_a_full_table_refuses_new_keys_and_keeps_what_it_has(table):
    kept = []
    for number in range(200):
        try:
            table.add(str(number), number, later())
        except FullError:
            continue
        kept.append(number)
    assert 56 <= len(kept) <= 64
    assert all(table.get(str(number))[0] == number for number in kept)


def test_what_has_come_to_its_end_makes_room(table):
    for number in range(200):
        table.add(str(number), number, Table.now() - 1)
    assert table.add("new", 1, later())


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 80), st.booleans()), max_size=100))
def test_no_key_is_ever_taken_for_another(table, steps):
    """What is found under a key is what was last set under it, however often records make room for others."""
    model = {}
    for key, ended in steps:
        held, value = table.get(str(key)), len(model)
        if held is not None and str(key) in model:
            assert held == model[str(key)]
        until = Table.now() - 1 if ended else later()
        try:
            assert table.compare_and_set(str(key), held[0] if held else None, value, until)
        except FullError:
            continue
        model[str(key)] = value, until
    for key, (_, until) in model.items():  # the next example begins with none that counts
        if until > Table.now() and (held := table.get(key)):
            table.compare_and_set(key, held[0], 0, 0)


def test_a_file_that_was_cut_short_is_an_error(table):
    os.truncate(table.path, HEADER)
    with pytest.raises(StoreError, match="cut short"):
        table.get("k")


def test_a_hash_that_stands_across_two_records_is_not_found(table):
    """Sixteen octets that look like the key's hash count only where a hash stands."""
    place = table.place("k")
    with table.path.open("r+b") as file:
        file.seek(place.sets[0] + 16)
        file.write(place.digest)
    assert table.find(place)[0] == -1
    assert (place.sets[0] - HEADER) % SET == 0


def test_a_place_that_was_given_to_another_key_is_noticed(table):
    """The place where a key was last seen is a hint, and no more."""
    table.add("k", 1, Table.now() - 1)
    place = table.place("k")
    at = place.seen
    table.put(table.place("thief"), at, later(), 9)
    assert place.seen == at
    assert table.get("k") is None


def test_a_lock_that_is_not_given_back_is_not_waited_for(tmp_path, table):
    other = Table.open(tmp_path / "machine", "t", 64)
    other.lock()
    with pytest.raises(StoreError, match="held it"):
        table.get("k")
    other.close()  # as the end of its process would
    assert table.get("k") is None


def test_a_table_that_was_closed_never_touches_the_file_that_has_its_number_now(tmp_path, table):
    number = table._descriptor
    table.close()
    with (tmp_path / "log").open("w+b") as log:
        log.write(bytes(HEADER + 64 * 32))
        log.flush()
        os.dup2(log.fileno(), number)
        with pytest.raises(StoreError, match="closed"):
            table.add("k", 1, later())
        os.close(number)
    assert not any((tmp_path / "log").read_bytes())
