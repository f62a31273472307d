import multiprocessing
import os

import pytest

from ztproxy.store import StoreError, Table, boot
from ztproxy.store.file import HEADER


def opened(folder, name="t", maximum=64):
    return Table.open(folder / "machine", name, maximum)


def test_it_is_made_for_its_owner_alone_with_all_its_room(tmp_path):
    table = opened(tmp_path)
    found = table.path.stat()
    assert found.st_mode & 0o777 == 0o600
    assert found.st_size == HEADER + 64 * 32
    assert found.st_blocks * 512 >= found.st_size
    assert table.path.parent.stat().st_mode & 0o777 == 0o700


def test_its_size_is_part_of_its_name(tmp_path):
    assert opened(tmp_path).path != opened(tmp_path, maximum=128).path


def test_records_outlive_the_process_but_not_the_machine_s_run(tmp_path, monkeypatch):
    until = Table.now() + 10**9
    table = opened(tmp_path)
    table.add("k", 1, until)
    table.close()
    table = opened(tmp_path)
    assert table.get("k") == (1, until)
    table.close()
    monkeypatch.setattr(boot, "boot", lambda: "another run")
    assert opened(tmp_path).get("k") is None


def test_another_clock_is_refused(tmp_path, monkeypatch):
    opened(tmp_path).close()
    monkeypatch.setattr(boot, "clock", lambda: "monotonic 86400 0")
    with pytest.raises(StoreError, match="another clock"):
        opened(tmp_path)


def test_a_system_that_cannot_say_which_run_this_is_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(boot, "boot", lambda: None)
    with pytest.raises(StoreError, match="redis://"):
        opened(tmp_path)


def test_half_a_table_is_made_anew(tmp_path):
    """Whoever made it ended before its header was written."""
    path = opened(tmp_path).path
    path.write_bytes(bytes(100))
    path.chmod(0o600)
    assert opened(tmp_path).add("k", 1, Table.now() + 10**9)


def test_a_disk_without_room_stops_it(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreError, match="No space left"):
        opened(tmp_path)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "machine").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        opened(tmp_path)


def test_a_file_that_was_removed_is_not_in_place(tmp_path):
    table = opened(tmp_path)
    assert table.in_place
    table.path.unlink()
    assert not table.in_place
    again = opened(tmp_path)
    assert again.in_place
    assert not table.in_place


def _add_all(folder, results):
    table = Table.open(folder, "raced", 1024)
    results.put([table.add(str(number), 1, Table.now() + 10**9) for number in range(100)])


@pytest.mark.slow
def test_processes_that_make_it_at_once_share_one(tmp_path):
    """Each key is added by exactly one of four processes that all make the table if they are first."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_add_all, args=(tmp_path / "machine", results)) for _ in range(4)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert [sum(column) for column in zip(*answers, strict=True)] == [1] * 100


def test_this_machine_s_run_has_a_name():
    assert boot.boot()
    assert boot.boot() == boot.boot()
