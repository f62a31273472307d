"""`make profile`: where ztproxy's time goes while it is under load, by sampling its Python stacks.

The whole job with the embedded engine runs on one core as in the benchmark, with a timer of processor time inside
(SIGPROF): waiting is not sampled, and time in C (TLS, system calls, OPA) counts for the Python line that called it. A
thread that read `sys._current_frames()` would see the main thread only where that releases the GIL, and no Python at
all. Prints the functions by own time and the hottest lines; `--output` keeps all stacks folded, one a line with its
count, as flame graph tools read them.
"""

import argparse
import collections
import os
import pathlib
import signal
import sys

import build
import measure
import peers
import run
from processes import LOAD_CORE, PROXY_CORE, Program, free_port, started

SAMPLER = """
import atexit, collections, pathlib, runpy, signal, sys
counts = collections.Counter()
def sample(_, frame):
    stack = []
    while frame is not None:
        code = frame.f_code
        stack.append(f"{frame.f_globals.get('__name__', '?')}:{code.co_qualname}:{frame.f_lineno}".replace(";", ","))
        frame = frame.f_back
    counts[";".join(reversed(stack))] += 1
def write():
    signal.setitimer(signal.ITIMER_PROF, 0)
    pathlib.Path(OUTPUT).write_text("".join(f"{stack} {n}\\n" for stack, n in counts.items()))
atexit.register(write)
def begin(*_):
    signal.setitimer(signal.ITIMER_PROF, 0.002, 0.002)
signal.signal(signal.SIGPROF, sample)
signal.signal(signal.SIGUSR2, begin)
sys.argv = ["ztproxy", *sys.argv[1:]]
runpy.run_module("ztproxy", run_name="__main__")
"""
SHOWN = 40


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--row", default="ztproxy", choices=[r.name for r in peers.ROWS if r.name.startswith("ztproxy")]
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--output", type=pathlib.Path, help="write folded stacks here")
    return parser.parse_args()


def _sampled(program: Program, folded: pathlib.Path) -> Program:
    """Give the same ztproxy with the sampling thread in it."""
    if program.name != "ztproxy":
        return program
    code = SAMPLER.replace("OUTPUT", repr(str(folded)))
    command = [sys.executable, "-c", code, *program.command[1:]]
    return Program(program.name, command, program.ready, program.environment)


def _is_sampled(pid: int) -> bool:
    return b"ITIMER_PROF" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()


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


def main() -> int:
    """Run the row under load and print its profile."""
    arguments = _arguments()
    row = next(row for row in peers.ROWS if row.name == arguments.row)
    lengths = measure.Lengths(warmup=2, load=arguments.seconds, handshakes=0, idle=0, attempts=1)
    with run.site("tree") as (here, backend):
        row.prepare(here)
        port, folded = free_port(), here.run / "folded"
        programs = [_sampled(program, folded) for program in row.programs(here, port)]
        with started(programs, PROXY_CORE, here.run) as running:
            pids = running.pids
            os.kill(next(pid for pid in pids if _is_sampled(pid)), signal.SIGUSR2)  # started: sample from now on
            target = measure.Target(here.run, build.load(), port, pids, backend, LOAD_CORE, row.unique)
            figures = measure.load(target, lengths)
        text = folded.read_text()
    stacks = collections.Counter({stack: int(n) for stack, _, n in (x.rpartition(" ") for x in text.splitlines())})
    _print(stacks)
    print(f"\n{figures['requests_per_second']:,.0f} requests/s while sampled")
    if arguments.output:
        arguments.output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
