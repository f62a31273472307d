import os
from threading import Event

import pytest

from ztproxy.observe.lines import Lines


class Told:
    """What the operator was told, and a way to wait for it."""

    def __init__(self):
        self.lines = []
        self.said = Event()

    def __call__(self, line):
        self.lines.append(line)
        self.said.set()


@pytest.fixture
def told():
    return Told()


def test_lines_arrive_in_order_and_the_file_is_not_everybody_s(tmp_path, told):
    path = tmp_path / "access.log"
    lines = Lines(str(path), told)
    for number in range(1000):
        lines.write(b"%d\n" % number)
    lines.close()
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(1000))
    assert path.stat().st_mode & 0o007 == 0
    assert (lines.lost, told.lines) == (0, [])


def test_it_appends(tmp_path, told):
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    lines = Lines(str(path), told)
    lines.write(b"after\n")
    lines.close()
    assert path.read_bytes() == b"before\nafter\n"


def test_a_file_that_cannot_be_opened_stops_the_start(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        Lines(str(tmp_path / "absent" / "access.log"))


def test_after_a_rotation_lines_go_to_the_new_file(tmp_path, told):
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    lines = Lines(str(path), told)
    path.rename(moved)
    lines.reopen()
    lines.write(b"new\n")
    lines.close()
    assert path.read_bytes() == b"new\n"
    assert moved.read_bytes() == b""


def test_a_reopening_that_fails_keeps_the_old_file(tmp_path, told):
    folder = tmp_path / "logs"
    folder.mkdir()
    lines = Lines(str(folder / "access.log"), told)
    folder.rename(tmp_path / "moved")
    lines.reopen()
    assert told.said.wait(5)
    lines.write(b"line\n")
    lines.close()
    assert (tmp_path / "moved" / "access.log").read_bytes() == b"line\n"
    assert "stays in use" in told.lines[0]


@pytest.fixture
def pipe(tmp_path, told):
    """A log that goes into a pipe which somebody else empties; yields its reading end and the log."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    lines = Lines(str(path), told, bound=1_000_000)
    os.set_blocking(reading, True)
    yield reading, lines
    lines.close(0)


def test_a_reader_that_stands_still_delays_nobody_and_what_waits_is_bounded(pipe, told):
    reading, lines = pipe
    line = b"x" * 999 + b"\n"
    for _ in range(3000):
        lines.write(line)  # a pipe holds 64 KiB
    assert 1900 <= lines.lost <= 2100
    received = b""
    while received.count(b"\n") < 3000 - lines.lost:
        received += os.read(reading, 1 << 20)
    assert told.said.wait(5)
    assert set(received.splitlines()) == {line[:-1]}
    told.said.clear()
    lines.write(line)
    assert told.said.wait(5)
    assert ["lost and counted" in told.lines[0], "written again" in told.lines[1]] == [True, True]
    assert str(lines.lost) in told.lines[1]


def test_a_write_that_fails_is_told_once_and_the_next_line_is_whole(tmp_path, told, monkeypatch):
    path = tmp_path / "access.log"
    lines = Lines(str(path), told)
    write, full, wrote = os.write, [True], Event()

    def disk(descriptor, text):
        if descriptor != lines._descriptor:
            return write(descriptor, text)
        wrote.set()
        if not full[0]:
            return write(descriptor, text)
        if len(text) > 3:
            return write(descriptor, text[: len(text) - 3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", disk)
    lines.write(b"cut off here\n")
    assert told.said.wait(5)
    assert lines.lost == 1
    wrote.clear()
    lines.write(b"!\n")  # shorter than what still fits: nothing of it is written
    assert wrote.wait(5)
    full[0] = False
    told.said.clear()
    lines.write(b"whole\n")
    assert told.said.wait(5)
    lines.close()
    assert path.read_bytes().splitlines()[-1] == b"whole"
    assert lines.lost == 2
    assert ["No space left" in told.lines[0], "written again" in told.lines[1], len(told.lines)] == [True, True, 2]


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
def test_writers_to_one_pipe_do_not_break_each_others_lines(tmp_path, told):
    """As the workers on one standard output; a pipe takes whole what is at most PIPE_BUF long."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writers = [Lines(str(path), told) for _ in range(4)]
    for name, writer in zip(b"abcd", writers, strict=True):
        for _ in range(200):
            writer.write(bytes([name]) * 300 + b"\n")
    os.set_blocking(reader, True)
    for writer in writers:
        writer._closing.set()
        writer._wake.set()
    got = b""
    while got.count(b"\n") < 800:
        got += os.read(reader, 65536)
    for writer in writers:
        writer.close()
    os.close(reader)
    assert {(len(line), len(set(line))) for line in got.splitlines()} == {(300, 1)}
    assert told.lines == []
