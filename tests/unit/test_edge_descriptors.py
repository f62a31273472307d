"""The process's own limit of open files."""

import subprocess
import sys

import pytest

LOWERED = """
import resource
from ztproxy.edge.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
print(raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""
ABSENT = """
import sys
sys.modules["resource"] = None
from ztproxy.edge.descriptors import raise_limit
print(raise_limit())
"""


@pytest.mark.parametrize(("program", "said"), [(LOWERED, "200 (200, 200)"), (ABSENT, "None")])
def test_it_is_raised_to_what_is_allowed(program, said):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said
