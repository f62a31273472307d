"""`make bench`: measures ztproxy and its peers in one run, in interleaved rounds, each pinned to one core.

Ratios within a run mean something; absolute figures do not. docs/performance.md says what is measured and how.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import resource
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import build
import credentials
import goals
import installed
import measure
import policydata
import refusals
import table
from peers import ROWS, Row, Site, backend
from processes import LOAD_CORE, Program, StartFailed, free_port, started

HERE = pathlib.Path(__file__).parent
FULL = measure.Lengths(warmup=1.2, load=4.5, handshakes=2.5, idle=2000, browser=3, body=2)
QUICK = measure.Lengths(warmup=0.5, load=1.5, handshakes=1, idle=200, browser=1, body=0.5, attempts=1)
ROUNDS = 4
FILES = 16384  # open files that 2,000 connections need at each end


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short measurements, one round: does it work?")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help=f"of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default {ROUNDS}; 1 with --quick")
    kinds = parser.add_mutually_exclusive_group()
    kinds.set_defaults(kind="compiled")
    pure, tree = "ztproxy not compiled: the same wheel without it", "ztproxy as it is installed here: nothing is built"
    kinds.add_argument("--pure", action="store_const", const="pure", dest="kind", help=pure)
    kinds.add_argument("--tree", action="store_const", const="tree", dest="kind", help=tree)
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "result.json", help="default bench/result.json")
    return parser.parse_args()


def _chosen(only: str) -> Sequence[Row]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = set(names) - {row.name for row in ROWS}
    if unknown:
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(r.name for r in ROWS)}")
    return [row for row in ROWS if not names or row.name in names]


def _prepare() -> None:
    """Let 2,000 connections have their files, and end in order on SIGTERM: what was started is stopped."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard) if hard >= 0 else FILES, hard))
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextlib.contextmanager
def site(kind: installed.Kind) -> Iterator[tuple[Site, Sequence[int]]]:
    """Make a run's certificates, tokens and policies, and run its backend and issuer on the load's core.

    Args:
        kind: which ztproxy is measured.
    """
    _prepare()
    build.BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build.BUILD, prefix="run-") as folder:
        run = pathlib.Path(folder)
        issuer_port = free_port()
        here = Site(run, free_port(), f"https://127.0.0.1:{issuer_port}", kind)
        credentials.make_certificates(run)
        credentials.make_tokens(run, here.issuer)
        policydata.write_policies(run / "policies")
        issuer = Program("issuer", [sys.executable, str(HERE / "issuer.py"), str(issuer_port), folder], issuer_port)
        with started([issuer], LOAD_CORE, run), started([backend(here)], LOAD_CORE, run) as running:
            yield here, running.pids


class Bench:
    """A run: its site, its lengths, and what the rounds have given so far."""

    def __init__(self, here: Site, backend_pids: Sequence[int], lengths: measure.Lengths) -> None:
        self.site = here
        self._backend = backend_pids
        self._lengths = lengths
        self._load = build.load()
        self.figures: dict[str, list[dict[str, float]]] = defaultdict(list)
        self.failures: dict[str, str] = {}

    def build(self, row: Row) -> None:
        """Build or find what a row needs; a row whose parts are missing says so in the table."""
        try:
            row.prepare(self.site)
        except build.BuildFailed as error:
            self._failed(row, error)

    def _failed(self, row: Row, error: Exception) -> None:
        said = str(error).replace(str(self.site.run), "RUN").replace(str(HERE.parent), ".")
        self.failures[row.name] = said
        print(f"  {row.name}: {said}", flush=True)

    def take(self, row: Row, *, first: bool) -> None:
        """Start a row, measure it once and stop it; a row that failed is not tried again."""
        if row.name in self.failures:
            return
        port = free_port()
        try:
            with started(row.programs(self.site, port), row.cores, self.site.run) as running:
                if first:
                    refusals.check(self.site.run, port, whole_job=row.whole_job, proven=row.proven)
                running.settle()
                pids = running.pids
                target = measure.Target(
                    self.site.run, self._load, port, pids, self._backend, LOAD_CORE, row.unique, row.proven, row.session
                )
                figures = self._parts(row, target, first=first)
        except (StartFailed, refusals.NotTheSameJob, measure.LoadFailed) as error:
            self._failed(row, error)
            return
        self.figures[row.name].append(figures)
        rate, p99, others = figures["requests_per_second"], figures["p99_ms"], figures["others_busy"]
        disturbed = f" (others took {others:.0%} of a core)" if others > table.DISTURBED else ""
        print(f"  {row.name}: {rate:,.0f} requests/s, p99 {p99:.2f} ms{disturbed}", flush=True)

    def _parts(self, row: Row, target: measure.Target, *, first: bool) -> dict[str, float]:
        lengths = self._lengths
        figures = measure.load(target, lengths)
        if first and "idle" in row.parts:
            figures |= measure.idle(target, lengths)
        if "browser" in row.parts:
            figures |= measure.browser(target, lengths)
        if "handshakes" in row.parts:
            figures |= measure.handshakes(target, lengths)
        if "bodies" in row.parts:
            figures |= measure.bodies(target, dataclasses.replace(lengths, warmup=QUICK.warmup))
        return figures


def _print(titles: Mapping[str, str], medians: Mapping[str, dict[str, float]], failures: Mapping[str, str]) -> None:
    print()
    print("\n".join(table.lines(titles, medians, failures)))
    for heading, columns in (("Ten more fields, as browsers send", table.BROWSER), ("Large bodies", table.BODIES)):
        if any(columns[0][1] in figures for figures in medians.values()):
            print(f"\n{heading}:\n")
            print("\n".join(table.lines(titles, medians, {}, columns)))
    print(f"\n{table.NOTES}")


def _result(bench: Bench, rows: Sequence[Row], rounds: int, arguments: argparse.Namespace) -> dict[str, object]:
    sound = {name: figures for name, figures in bench.figures.items() if name not in bench.failures}
    medians = {name: table.medians(figures) for name, figures in sound.items()}
    table.with_ratios(medians)
    titles = {row.name: row.title if row.name in bench.failures else row.heading(bench.site) for row in rows}
    _print(titles, medians, bench.failures)
    outcomes = goals.judged(medians)
    if outcomes:
        print()
        print("\n".join(goals.lines(outcomes)))
    if disturbed := [name for name, figures in medians.items() if figures["others_busy"] > table.DISTURBED]:
        print(f"\nOthers ran meanwhile: of {', '.join(disturbed)} believe what is by CPU, and no latency.")
    ours = next((row for row in rows if row.ours and row.name in medians), None)
    return {
        "machine": table.machine(),
        "load_average_before": arguments.load_average,
        "rounds": rounds,
        "quick": arguments.quick,
        "ztproxy": None if ours is None else bench.site.ztproxy.facts,
        "rows": {row.name: {"title": titles[row.name], **medians[row.name]} for row in rows if row.name in medians},
        "goals": goals.written(outcomes),
        "rounds_of_rows": bench.figures,
        "failures": bench.failures,
    }


def main() -> int:
    """Run it; 1 where a row could not be measured."""
    arguments = _arguments()
    arguments.load_average = os.getloadavg()[0]
    rows = _chosen(arguments.only)
    rounds = arguments.rounds or (1 if arguments.quick else ROUNDS)
    with site(arguments.kind) as (here, pids):
        bench = Bench(here, pids, QUICK if arguments.quick else FULL)
        for row in rows:
            bench.build(row)
        try:
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", flush=True)
                for row in rows:
                    bench.take(row, first=number == 0)
        except KeyboardInterrupt:
            print("interrupted: what was measured so far", flush=True)
        result = _result(bench, rows, rounds, arguments)
    table.write(arguments.output, result)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
