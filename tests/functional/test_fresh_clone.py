"""A machine with Python, git and make, and neither Go nor a C compiler, follows the README in a clean clone."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSIDE = "ZTPROXY_FRESH_CLONE"
TOOLCHAINS = r"(.*-)?(go|gofmt|cc|c89|c99|gcc|g\+\+|c\+\+|clang|clang\+\+|cpp|tcc|zig|opa)([-.\d].*)?"
REGISTRIES = ("PIP_", "GOPROXY", "GONOSUMDB", "GOSUMDB", "GOFLAGS", "SSL_CERT", "REQUESTS_CA", "HTTP_", "HTTPS_")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(INSIDE in os.environ, reason="this is the fresh clone"),
    pytest.mark.skipif(not shutil.which("git") or not shutil.which("make"), reason="apt install git make"),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh") / "ztproxy"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """The environment of that machine: this one's commands but for toolchains, an empty home, the same registries."""
    folder = tmp_path_factory.mktemp("machine")
    (folder / "bin").mkdir()
    (folder / "home").mkdir()
    for place in map(Path, os.environ["PATH"].split(os.pathsep)):
        if (sys.prefix != sys.base_prefix and place.is_relative_to(sys.prefix)) or not place.is_dir():
            continue
        for command in place.iterdir():
            link = folder / "bin" / command.name
            if not re.fullmatch(TOOLCHAINS, command.name) and not link.is_symlink():
                link.symlink_to(command)
    python = folder / "bin" / "python3"
    python.unlink(missing_ok=True)
    python.symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    kept = {name: value for name, value in os.environ.items() if name.upper().startswith(REGISTRIES)}
    return {
        **kept,
        "PATH": str(folder / "bin"),
        "HOME": str(folder / "home"),
        "LANG": "C.UTF-8",
        INSIDE: "1",
    }


def run(clone: Path, machine: dict[str, str], *command: str, timeout: float) -> str:
    done = subprocess.run(command, cwd=clone, env=machine, capture_output=True, text=True, check=False, timeout=timeout)
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{said[-4000:]}"
    return said


def assert_the_demo_runs_until_ctrl_c(clone: Path, machine: dict[str, str]) -> None:
    """`make demo` prints commands to paste, and a terminal's Ctrl-C, which all of its processes get, ends it."""
    with subprocess.Popen(
        ["make", "demo"],
        cwd=clone,
        env=machine,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        overdue = threading.Timer(60, os.killpg, (process.pid, signal.SIGKILL))
        overdue.start()
        try:
            said = ""
            while "Ctrl-C ends it" not in said:
                line = process.stdout.readline()
                assert line, f"it ended by itself:\n{said}"
                said += line
            os.killpg(process.pid, signal.SIGINT)
            said += process.stdout.read()
        finally:
            overdue.cancel()
            if process.poll() is None:
                process.wait(20)
    assert "Traceback" not in said
    assert said.count("curl -sS") >= 5


def test_the_machine_has_no_toolchain(machine):
    for name in ("go", "cc", "gcc", "clang", "zig", "opa"):
        assert shutil.which(name, path=machine["PATH"]) is None


def test_the_readme_names_the_commands(clone):
    readme = (clone / "README.md").read_text()
    assert "make demo" in readme
    assert "make test" in readme


def test_main_job_and_tests(clone, machine):
    run(clone, machine, "make", "tour", timeout=1500)
    library = [path.name for path in (clone / "ztproxy" / "policy").glob("_ztopa.*")]
    assert any(name.endswith((".so", ".dylib")) for name in library)
    tests = "TESTS=tests/unit/test_config_values.py tests/unit/test_policy_embedded.py"
    said = run(clone, machine, "make", "test", tests, timeout=900)
    assert " passed" in said
    assert_the_demo_runs_until_ctrl_c(clone, machine)
    assert (
        subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True).stdout
        == ""
    )
