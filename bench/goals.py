"""What the project promises of its speed, and whether a run shows it: by the clock, and by processor time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from table import BODIES, CPU, TIMES

Figures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Outcome:
    """One goal and what was measured."""

    goal: str
    measured: float
    by_cpu: float | None
    """The same ratio by processor time, where the goal is not one of latency."""
    verdict: str

    @property
    def line(self) -> str:
        """A line of Markdown."""
        by_cpu = "-" if self.by_cpu is None else f"{self.by_cpu:.2f}"
        return f"| {self.goal} | {self.measured:.2f} | {by_cpu} | {self.verdict} |"


def _verdict(by_clock: bool, by_cpu: bool) -> str:  # noqa: FBT001 - two of a kind
    """Say it of both: by the clock the load generator may be the limit, or others on the machine have run."""
    if by_clock == by_cpu:
        return "reached" if by_clock else "**not reached**"
    return "by the clock only" if by_clock else "by CPU only"


@dataclass(frozen=True)
class _AtLeast:
    """A row does a multiple of what a peer does."""

    what: str
    row: str
    ratio: str
    times: float

    def judged(self, rows: Figures) -> Iterator[Outcome]:
        figures = rows.get(self.row, {})
        if (measured := figures.get(self.ratio)) is not None:
            goal, by_cpu = f"{self.what}: at least {self.times:g} {TIMES}", figures[f"{self.ratio}_by_cpu"]
            yield Outcome(goal, measured, by_cpu, _verdict(measured >= self.times, by_cpu >= self.times))


@dataclass(frozen=True)
class _AtMost:
    """A row's figure is no more than a multiple of another's."""

    what: str
    row: str
    other: str
    figure: str
    times: float = 1.0

    def judged(self, rows: Figures) -> Iterator[Outcome]:
        ours, theirs = rows.get(self.row, {}).get(self.figure), rows.get(self.other, {}).get(self.figure)
        if ours is not None and theirs:
            measured = ours / theirs
            by_cpu = measured if self.figure == CPU else None
            verdict = _verdict(measured <= self.times, measured <= self.times)
            yield Outcome(f"{self.what}: at most {self.times:g} {TIMES}", measured, by_cpu, verdict)


_BODIES = tuple(
    _AtLeast(f"{heading.removesuffix(' MB/s')}, the whole job, to nginx", "ztproxy-memo", ratio, 0.7)
    for (heading, _, _), (_, ratio, _) in zip(BODIES[::2], BODIES[1::2], strict=True)
)
GOALS = (
    _AtLeast("The same asked again, to bare Envoy", "ztproxy-memo", "times_bare_envoy", 1.5),
    _AtLeast("The same asked again, to Envoy + OPA, which has no memo", "ztproxy-memo", "times_envoy_opa", 12),
    _AtLeast("The same asked again, to bare nginx", "ztproxy-memo", "times_bare_nginx", 0.6),
    _AtMost("The same asked again, p99 to bare Envoy's", "ztproxy-memo", "envoy", "p99_ms"),
    _AtLeast("With ten browser-like fields, to bare Envoy", "ztproxy-memo", "browser_times_bare_envoy", 1),
    _AtLeast("Each request a new decision, to Envoy + OPA", "ztproxy", "times_envoy_opa", 3),
    _AtMost("Each request a new decision, p99 to Envoy + OPA's", "ztproxy", "envoy-opa", "p99_ms"),
    _AtLeast("Full handshakes, forwarding alone, to nginx", "ztproxy-forward", "handshakes_times_bare_nginx", 0.9),
    _AtLeast("Full handshakes, the whole job, to nginx", "ztproxy-memo", "handshakes_times_bare_nginx", 0.9),
    _AtMost("Two workers' CPU for a request, to one's, on its core", "ztproxy-2workers", "ztproxy-machine", CPU, 1.1),
    _AtMost("Likewise, on both cores, beside the load", "ztproxy-2cores", "ztproxy-machine", CPU, 1.1),
    *_BODIES,
)


def judged(rows: Figures) -> Sequence[Outcome]:
    """Judge each goal whose rows were measured."""
    return [outcome for goal in GOALS for outcome in goal.judged(rows)]


def lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Render the goals as Markdown."""
    return ["| goal | measured | by CPU | |", "|---|---:|---:|---|", *(outcome.line for outcome in outcomes)]


def written(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Give them for result.json."""
    return [asdict(outcome) for outcome in outcomes]
