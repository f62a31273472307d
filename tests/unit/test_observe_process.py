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
    told = readings(Process("3", 1000.0, lambda: 4096))
    assert told[series.STARTED.name] == (("3",), 1000.0)
    assert told[series.CPU.name][1] > 0
    assert told[series.RESIDENT.name] == (("3",), 4096)
    assert told[series.BUILD_INFO.name][0][0] == ztproxy.__version__


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_descriptors_are_those_of_this_process():
    told = readings(Process("1", 0.0))
    with Path(os.devnull).open():
        more = readings(Process("1", 0.0))
    assert more[series.DESCRIPTORS.name][1] == told[series.DESCRIPTORS.name][1] + 1


def test_a_system_that_does_not_tell_is_believed_to_have_nothing_to_say(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "_DESCRIPTORS", (tmp_path / "fd",))
    told = readings(Process("1", 0.0))
    assert series.RESIDENT.name not in told
    assert series.DESCRIPTORS.name not in told
