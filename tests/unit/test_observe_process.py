import os
import sys
from pathlib import Path

import pytest

import ztproxy
from ztproxy.observe import catalogue as series
from ztproxy.observe import process
from ztproxy.observe.process import Process


def readings(of: Process) -> dict[str, tuple[tuple[str, ...], float]]:
    return {one.name: (labels, value) for one, labels, value in of.readings()}


def test_a_worker_tells_what_it_costs():
    told = readings(Process("3", 1000.0))
    assert told[series.STARTED.name] == (("3",), 1000.0)
    assert told[series.CPU.name][1] > 0
    assert told[series.BUILD_INFO.name][0][0] == ztproxy.__version__


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_and_descriptors_are_those_of_this_process():
    told = readings(Process())
    assert 5e6 < told[series.RESIDENT.name][1] < 5e9
    with Path(os.devnull).open():
        more = readings(Process())
    assert more[series.DESCRIPTORS.name][1] == told[series.DESCRIPTORS.name][1] + 1


def test_a_system_that_does_not_tell_is_believed_to_have_nothing_to_say(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "_PROC", tmp_path)
    monkeypatch.setattr(process, "_DESCRIPTORS", (tmp_path / "fd",))
    assert series.RESIDENT.name not in readings(Process())
    assert series.DESCRIPTORS.name not in readings(Process())
