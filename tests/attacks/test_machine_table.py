"""The machine's table is used only if it is ours alone and whole; otherwise the start stops and says why."""

import os
import stat

import pytest

from ztproxy.config.settings import Settings
from ztproxy.limits import Limits
from ztproxy.limits.machine import NAME
from ztproxy.store import StoreError, Table

MAXIMUM = 64


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "machine"


@pytest.fixture
def path(folder):
    """A table that was made before, with a record in it."""
    table = Table.open(folder, NAME, MAXIMUM)
    table.add("k", 1, Table.now() + 10**9)
    table.close()
    return table.path


def refused(folder, why):
    with pytest.raises(StoreError, match=why):
        Table.open(folder, NAME, MAXIMUM)


def test_a_table_that_is_as_it_should_be(folder, path):
    assert Table.open(folder, NAME, MAXIMUM).get("k")[0] == 1


def test_another_user_s_file(folder, path, monkeypatch):
    owner = os.geteuid()
    real = os.fstat

    def folder_is_ours(descriptor):
        found = list(real(descriptor))
        if stat.S_ISDIR(real(descriptor).st_mode):
            found[4] = owner + 1
        return os.stat_result(found)

    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    refused(folder, "has to be ours")
    monkeypatch.setattr(os, "fstat", folder_is_ours)
    refused(folder, "belongs to another user")


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602])
def test_a_file_that_others_can_open(folder, path, mode):
    path.chmod(mode)
    refused(folder, "open to others")


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_to(folder, path, mode):
    folder.chmod(mode)
    refused(folder, "writable by nobody else")


def test_a_symbolic_link_is_not_followed(folder, path, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    victim.chmod(0o600)
    path.unlink()
    path.symlink_to(victim)
    refused(folder, "cannot be used")
    assert victim.read_bytes() == b""


def test_a_folder_that_is_a_symbolic_link_is_not_followed(folder, path, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    refused(folder, "cannot be used")


def test_a_file_with_another_name_elsewhere(folder, path, tmp_path):
    os.link(path, tmp_path / "other")
    refused(folder, "another name")


def test_what_is_no_file(folder, path):
    path.unlink()
    os.mkfifo(path, 0o600)
    refused(folder, "not a file")


@pytest.mark.parametrize("at", [0, 8, 12, 20, 40, 70, 110])
def test_a_header_that_was_changed_is_not_believed_nor_overwritten(folder, path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    refused(folder, "damaged")
    assert path.read_bytes() == content


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_size(folder, path, change):
    os.truncate(path, path.stat().st_size + change)
    refused(folder, "not of its size")


def test_a_table_under_another_s_name(folder, path):
    Table.open(folder, NAME, 2 * MAXIMUM)
    (folder / f"{NAME}.1.{2 * MAXIMUM // 16}").rename(path)
    refused(folder, "another version or size")


def test_the_start_stops(tmp_path, folder, path):
    path.chmod(0o644)
    settings = Settings(
        version=1,
        listeners=({"address": "127.0.0.1:1", "protocol": "http"},),
        limits={
            "rules": [{"key": "source.address", "rate": "1/hour"}],
            "storage": f"machine://{folder}",
            "maximum_buckets": MAXIMUM,
        },
        routes=({"name": "r", "hosts": ("*",), "require": (), "upstream": {"servers": ("http://h",)}},),
    )
    with pytest.raises(ValueError, match=r"limits\.storage: .*open to others"):
        Limits.build(settings)


def test_nobody_can_tell_from_outside_where_a_key_falls_or_whose_it_is(folder, path, tmp_path):
    """Keys are hashed under a secret of the file: nobody can choose keys that fill one set, or read who asks."""
    other = Table.open(tmp_path / "other", NAME, MAXIMUM)
    assert Table.open(folder, NAME, MAXIMUM).place("alice").digest != other.place("alice").digest
    assert b"alice" not in path.read_bytes()
