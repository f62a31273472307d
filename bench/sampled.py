"""`make profile`: where ztproxy's time goes while it is under load, by sampling its Python stacks.

The whole job with the embedded engine runs on one core as in the benchmark, with a timer of processor time inside
(SIGPROF): waiting is not sampled, and time in C (TLS, system calls, OPA) counts for the Python line that called it. A
thread that read `sys._current_frames()` would see the main thread only where that releases the GIL, and no Python at
all. Prints the functions by own time and the hottest lines; `--output` keeps all stacks folded, one a line with its
count, as flame graph tools read them.
"""

import argparse
import collections
import dataclasses
import os
import pathlib
import signal
import sys
import time

import build
import measure
import peers
import refusals
import run
from processes import LOAD_CORE, PROXY_CORE, START_DEADLINE, Program, Running, StartFailed, free_port, started

SAMPLER = """
import atexit, collections, pathlib, signal, sys
def sampled():
    counts = collections.Counter()
    def sample(_, frame):
        stack = []
        while frame is not None:
            code = frame.f_code
            name = f"{frame.f_globals.get('__name__', '?')}:{code.co_qualname}:{frame.f_lineno}"
            stack.append(name.replace(";", ","))
            frame = frame.f_back
        counts[";".join(reversed(stack))] += 1
    def write():
        signal.setitimer(signal.ITIMER_PROF, 0)
        pathlib.Path(OUTPUT).write_text("".join(f"{stack} {n}\\n" for stack, n in counts.items()))
    def begin(*_):
        signal.setitimer(signal.ITIMER_PROF, 0.002, 0.002)
    atexit.register(write)
    signal.signal(signal.SIGPROF, sample)
    signal.signal(signal.SIGUSR2, begin)
if "WORKER" in sys.orig_argv:
    sampled()
"""
WORKER = "ztproxy.workers.worker"
"""The module that serves; the supervisor above it does nothing meanwhile."""
SHOWN = 40


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--row", default="ztproxy", choices=[r.name for r in peers.ROWS if r.name.startswith("ztproxy")]
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--handshakes", action="store_true", help="a new connection for each request")
    what.add_argument("--body", choices=[body.name for body in measure.BODIES], help="contents of that kind")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--output", type=pathlib.Path, help="write folded stacks here")
    return parser.parse_args()


def _sampled(program: Program, run_folder: pathlib.Path, folded: pathlib.Path) -> Program:
    """Give the same ztproxy whose worker samples itself: Python imports `sitecustomize` before anything else."""
    if program.name != "ztproxy":
        return program
    folder = run_folder / "sampler"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SAMPLER.replace("OUTPUT", repr(str(folded))).replace("WORKER", WORKER))
    return dataclasses.replace(program, environment={**program.environment, "PYTHONPATH": str(folder)})


def _is_sampled(pid: int) -> bool:
    return WORKER.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def _worker(running: Running) -> int:
    """Wait until it is there, and give its process id."""
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        if found := [pid for pid in running.pids if _is_sampled(pid)]:
            return found[0]
        time.sleep(0.05)
    raise StartFailed("no worker was started")


def _print(stacks: collections.Counter[str]) -> None:
    total = sum(stacks.values())
    own, whole = collections.Counter[str](), collections.Counter[str]()
    for stack, count in stacks.items():
        functions = [line.rpartition(":")[0] for line in stack.split(";")]
        own[functions[-1]] += count
        for function in set(functions):
            whole[function] += count
    print(f"{total} samples\n\n  own   with what it calls")
    for function, count in own.most_common(SHOWN):
        print(f"{count / total:5.1%} {whole[function] / total:6.1%}  {function}")
    print("\nhottest lines")
    lines = collections.Counter[str]()
    for stack, count in stacks.items():
        lines[stack.rpartition(";")[2]] += count
    for line, count in lines.most_common(SHOWN // 2):
        print(f"{count / total:5.1%}  {line}")


def _measured(target: measure.Target, arguments: argparse.Namespace) -> dict[str, float]:
    long = arguments.seconds
    lengths = measure.Lengths(warmup=2, load=long, handshakes=long, body=long, idle=0, attempts=1)
    if arguments.body:
        return measure.body(target, lengths, next(body for body in measure.BODIES if body.name == arguments.body))
    return measure.handshakes(target, lengths) if arguments.handshakes else measure.load(target, lengths)


def main() -> int:
    """Run the row under load and print its profile."""
    arguments = _arguments()
    row = next(row for row in peers.ROWS if row.name == arguments.row)
    with run.site("tree") as (here, backend):
        row.prepare(here)
        port, folded = free_port(), here.run / "folded"
        programs = [_sampled(program, here.run, folded) for program in row.programs(here, port)]
        with started(programs, PROXY_CORE, here.run) as running:
            worker = _worker(running)
            refusals.check(here.run, port, whole_job=row.whole_job)  # it serves by now
            os.kill(worker, signal.SIGUSR2)  # sample from now on
            pids = running.pids
            target = measure.Target(here.run, build.load(), port, pids, backend, LOAD_CORE, row.unique)
            figures = _measured(target, arguments)
        text = folded.read_text()
    stacks = collections.Counter({stack: int(n) for stack, _, n in (x.rpartition(" ") for x in text.splitlines())})
    _print(stacks)
    print("\nwhile sampled: " + ", ".join(f"{name} {value:,.4g}" for name, value in figures.items()))
    if arguments.output:
        arguments.output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
