"""`make bench`: measures ztproxy and its peers in one run, in interleaved rounds, each pinned to one core.

Ratios within a run mean something; absolute figures do not. docs/performance.md says what is measured and how.
"""

import argparse
import contextlib
import os
import pathlib
import resource
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence

import build
import credentials
import measure
import policydata
import refusals
import table
from peers import ROWS, Row, Site, backend
from processes import LOAD_CORE, PROXY_CORE, Program, StartFailed, free_port, started

HERE = pathlib.Path(__file__).parent
FULL = measure.Lengths(warmup=2, load=6, handshakes=3, idle=2000)
QUICK = measure.Lengths(warmup=0.5, load=2, handshakes=1, idle=200)
FILES = 16384  # open files that 2,000 connections need at each end


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short measurements, one round: does it work?")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help=f"of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="default 5; 1 with --quick")
    parser.add_argument("--browser", action="store_true", help="ten more fields in each request, as browsers send")
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
def site() -> Iterator[tuple[Site, Sequence[int]]]:
    """Make a run's certificates, tokens and policies, and run its backend and issuer on the load's core."""
    _prepare()
    build.BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build.BUILD, prefix="run-") as folder:
        run = pathlib.Path(folder)
        issuer_port = free_port()
        here = Site(run, free_port(), f"https://127.0.0.1:{issuer_port}")
        credentials.make_certificates(run)
        credentials.make_tokens(run, here.issuer)
        policydata.write_policies(run / "policies")
        issuer = Program("issuer", [sys.executable, str(HERE / "issuer.py"), str(issuer_port), folder], issuer_port)
        with started([issuer], LOAD_CORE, run), started([backend(here)], LOAD_CORE, run) as pids:
            yield here, pids


class Bench:
    """A run: its site, its lengths, and what the rounds have given so far."""

    def __init__(self, here: Site, backend_pids: Sequence[int], lengths: measure.Lengths, *, browser: bool) -> None:
        self._site = here
        self._backend = backend_pids
        self._lengths = lengths
        self._browser = browser
        self._load = build.load()
        self.figures: dict[str, list[dict[str, float]]] = defaultdict(list)
        self.failures: dict[str, str] = {}

    def build(self, row: Row) -> None:
        """Build or find what a row needs; a row whose parts are missing says so in the table."""
        try:
            for needed in row.builds:
                needed()
        except build.BuildFailed as error:
            self._failed(row, error)

    def _failed(self, row: Row, error: Exception) -> None:
        said = str(error).replace(str(self._site.run), "RUN").replace(str(HERE.parent), ".")
        self.failures[row.name] = said
        print(f"  {row.name}: {said}", flush=True)

    def measure(self, row: Row, *, first: bool) -> None:
        """Start a row, measure it once and stop it; a row that failed is not tried again."""
        if row.name in self.failures:
            return
        port = free_port()
        try:
            programs = row.programs(self._site, port)
            with started(programs, PROXY_CORE, self._site.run) as pids:
                target = measure.Target(self._site.run, self._load, port, pids, self._backend, LOAD_CORE, self._browser)
                if first:
                    refusals.check(self._site.run, port, whole_job=row.whole_job)
                figures = measure.load(target, self._lengths)
                if first:
                    figures |= measure.idle(target, self._lengths)
                figures |= measure.handshakes(target, self._lengths)
        except (StartFailed, refusals.NotTheSameJob, measure.LoadFailed) as error:
            self._failed(row, error)
            return
        self.figures[row.name].append(figures)
        rate, p99, others = figures["requests_per_second"], figures["p99_ms"], figures["others_busy"]
        disturbed = f" (others took {others:.0%} of a core)" if others > table.DISTURBED else ""
        print(f"  {row.name}: {rate:,.0f} requests/s, p99 {p99:.2f} ms{disturbed}", flush=True)


def _result(bench: Bench, rows: Sequence[Row], rounds: int, arguments: argparse.Namespace) -> dict[str, object]:
    sound = {name: figures for name, figures in bench.figures.items() if name not in bench.failures}
    medians = {name: table.medians(figures) for name, figures in sound.items()}
    table.with_ratios(medians)
    titles = {row.name: row.title for row in rows}
    print()
    print("\n".join(table.lines(titles, medians, bench.failures)))
    print(
        "\nOnly the ratios mean anything. + : the proxy's core was not all busy: the load was the limit, or others ran."
    )
    return {
        "machine": table.machine(),
        "load_average_before": arguments.load_average,
        "rounds": rounds,
        "quick": arguments.quick,
        "browser_fields": arguments.browser,
        "rows": {row.name: {"title": row.title, **medians[row.name]} for row in rows if row.name in medians},
        "rounds_of_rows": bench.figures,
        "failures": bench.failures,
    }


def main() -> int:
    """Run it; 1 where a row could not be measured."""
    arguments = _arguments()
    arguments.load_average = os.getloadavg()[0]
    rows = _chosen(arguments.only)
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    with site() as (here, pids):
        bench = Bench(here, pids, QUICK if arguments.quick else FULL, browser=arguments.browser)
        for row in rows:
            bench.build(row)
        try:
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", flush=True)
                for row in rows:
                    bench.measure(row, first=number == 0)
        except KeyboardInterrupt:
            print("interrupted: what was measured so far", flush=True)
        result = _result(bench, rows, rounds, arguments)
    table.write(arguments.output, result)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
