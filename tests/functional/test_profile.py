"""`make profile` times functions by their names: whoever renames or bypasses one is told here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ztproxy.edge import tls

PROGRAM = Path(__file__).parents[2] / "bench" / "path.py"
ALWAYS = (
    "TLS: decrypting what came",
    "the canonical request",
    "the pipeline itself",
    "routing",
    "identity: certificate, token",
    "limits by identity",
    "policy: the memo, or the input and the decision's reading",
    "upstream: the request's head",
    "response: its head",
    "access log",
    "metrics",
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not str(tls.__file__).endswith(".py"), reason="compiled functions cannot be timed from outside"),
    pytest.mark.skipif(
        shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") is None
        or shutil.which("taskset") is None,
        reason="needs nginx and taskset: apt-get install nginx-light util-linux",
    ),
]


def printed(*options: str) -> dict[str, float]:
    command = [sys.executable, str(PROGRAM), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^ *(-?[\d.]+) µs +(?:-?[\d.]+% +)?(\S.*)$", done.stdout, re.MULTILINE)
    return {name: float(spent) for spent, name in found}


@pytest.mark.parametrize("options", [(), ("--unique",), ("--sessions",), ("--proofs",)])
def test_each_step_of_a_request_is_timed(options):
    steps = printed("--steps", "--rounds", "12", *options)
    assert set(ALWAYS) <= steps.keys()
    assert all(steps[name] > 0 for name in ALWAYS)
    assert ("policy: OPA" in steps) is ("--unique" in options), "the memo answers, unless each request is another"


def test_each_part_of_a_handshake_is_timed():
    parts = printed("--handshakes", "--rounds", "12")
    assert parts["OpenSSL: the handshake, the choice by server name in it"] > 0
    assert parts["reading the certificate, judging its authority"] > 0
    assert parts["beginning HTTP"] > 0
