"""The binding: versions, problems, processes, memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ztproxy.policy import library as binding
from ztproxy.policy.library import LIBRARY, Library, LibraryUnavailableError, LoadOptions, PolicyLoadError, Status

NOW = 1_700_000_000 * 10**9


def load(directory, rules="decision := input.a", **options):
    (directory / "policy.rego").write_text(f"package z\n\n{rules}\n")
    return binding.library().load(LoadOptions(directory=str(directory), entrypoint="z/decision", **options))


def test_says_its_versions():
    found = binding.library().version()
    assert found["abi"] == binding.ABI
    assert tuple(map(int, found["opa"].split("."))) >= (1, 21)


def test_missing_library_says_what_to_do(tmp_path):
    with pytest.raises(LibraryUnavailableError, match=r"pip install .*engine: server"):
        Library(tmp_path / "none.so")


def test_what_is_no_library_is_refused(tmp_path):
    (tmp_path / "bad.so").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(LibraryUnavailableError, match="cannot be loaded"):
        Library(tmp_path / "bad.so")


def test_another_interface_is_refused(monkeypatch):
    monkeypatch.setattr(binding, "ABI", binding.ABI + 1)
    with pytest.raises(LibraryUnavailableError, match="interface"):
        Library(LIBRARY)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_refused(tmp_path):
    code = f"""
import os, sys
sys.path.insert(0, {str(Path.cwd())!r})
from ztproxy.policy.library import LibraryUnavailableError, LoadOptions, library
policy = library().load(LoadOptions(directory={str(tmp_path)!r}, entrypoint="z/decision"))
child = os.fork()
if child == 0:
    try:
        policy.evaluate(b"{{}}", 0, 10**9)
    except LibraryUnavailableError:
        policy.release()
        os._exit(7)
    os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    (tmp_path / "policy.rego").write_text("package z\ndecision := 1\n")
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 7


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_signals_pipes_and_children_work_as_before(tmp_path):
    code = f"""
import asyncio, os, signal, subprocess, sys
sys.path.insert(0, {str(Path.cwd())!r})
from ztproxy.policy.library import LoadOptions, library
policy = library().load(LoadOptions(directory={str(tmp_path)!r}, entrypoint="z/decision"))
read, write = os.pipe()
os.close(read)
try:
    os.write(write, b"x")
    raise SystemExit("no EPIPE")
except BrokenPipeError:
    pass
async def main():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        seen = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(number, seen.set)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(seen.wait(), 5)
asyncio.run(main())
sys.exit(subprocess.run([sys.executable, "-c", "raise SystemExit(9)"]).returncode)
"""
    (tmp_path / "policy.rego").write_text("package z\ndecision := 1\n")
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=30, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr


def test_every_problem_is_told(tmp_path):
    with pytest.raises(PolicyLoadError) as failure:
        load(tmp_path, "decision if f(1)\n\nother if g(2)")
    assert [(problem.file, problem.row) for problem in failure.value.problems] == [
        ("policy.rego", 3),
        ("policy.rego", 5),
    ]
    assert str(failure.value).startswith("policy.rego:3:13: ")


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(PolicyLoadError, match="no such file"):
        binding.library().load(LoadOptions(directory=str(tmp_path / "none"), entrypoint="z/decision"))


def test_describe(tmp_path):
    found = load(tmp_path, "decision if input.token.subject in data.names").describe()
    assert (found.reads, found.places, found.data) == (
        ("input.token.subject",),
        (("token", "subject"),),
        ("data.names",),
    )
    assert (found.files, found.clock, found.unrepeatable) == (("policy.rego",), False, ())


def test_released_handles_answer_so(tmp_path):
    policy = load(tmp_path)
    policy.release()
    policy.release()
    assert policy.evaluate(b"{}", NOW, 10**9)[0] == Status.BAD_HANDLE
    assert policy.wait_next(10**9)[0] == Status.CLOSED
    with pytest.raises(LibraryUnavailableError):
        policy.describe()


def test_the_largest_result_fits(tmp_path):
    policy = load(tmp_path, "decision := input.a")
    for size, status in ((binding.MAX_RESULT - 2, Status.OK), (binding.MAX_RESULT - 1, Status.FAILED)):
        found = policy.evaluate(b'{"a": "' + b"x" * size + b'"}', NOW, 5 * 10**9)
        if found[0] == Status.PENDING:
            found = policy.wait_next(10**10)
        assert found[0] == status
        if status == Status.OK:
            assert found[1] == b'"' + b"x" * size + b'"'


def test_tool_checks(tmp_path):
    (tmp_path / "policy.rego").write_text("package z\n\ndecision if f(1)\n")
    answer = binding.library().tool({"command": "check", "directory": str(tmp_path), "entrypoint": "z/decision"})
    assert answer["errors"][0]["row"] == 3


@pytest.mark.slow
def test_memory_is_given_back(tmp_path):
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs /proc")

    def resident() -> int:
        return int(statm.read_text().split()[1]) * 4096

    for _ in range(30):
        load(tmp_path).release()
    before = resident()
    for _ in range(150):
        load(tmp_path).release()
    assert resident() - before < 40 << 20
