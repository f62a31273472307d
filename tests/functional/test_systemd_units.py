"""The units that are given as examples are what systemd reads."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = [*(DEPLOY / "systemd").iterdir(), DEPLOY / "sidecar" / "ztproxy-sidecar@.service"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: apt-get install systemd")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    units = []
    for unit in sorted(UNITS, key=lambda unit: unit.name):
        text = unit.read_text().replace("/usr/bin/ztproxy", sys.executable)  # which is there to be found
        units.append(tmp_path / unit.name)
        units[-1].write_text(text)
    assert [unit.name for unit in units] == ["ztproxy-sidecar@.service", "ztproxy.service", "ztproxy.socket"]
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)], capture_output=True, text=True, check=False
    )
    ours = [line for line in found.stderr.splitlines() if "ztproxy" in line]
    assert (found.returncode, ours) == (0, [])
