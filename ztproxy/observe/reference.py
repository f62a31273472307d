"""docs/observability.md, made from the catalogue of series and the status document; this module prints it.

What is written here by hand is only what the code does not know.
"""

import ast
import inspect
from collections.abc import Iterable, Iterator
from typing import Any, get_args, get_type_hints

import msgspec

from ztproxy.observe.catalogue import CATALOGUE
from ztproxy.observe.fleet import FleetStatus
from ztproxy.observe.handshakes import OUTCOMES
from ztproxy.observe.metrics import METHODS, OTHER, STATUSES
from ztproxy.observe.series import Series

_HEAD = """# Seen from outside

<!-- Made by `make docs` from the catalogue of series and the status document; a test compares. -->

## Metrics

`health: {address: 127.0.0.1:9902}` opens a listener with `/livez`, `/readyz` and `/metrics`, to whoever can connect: it
tells names of routes, servers, issuers and certificates' files, and nothing of requests or of who makes them. It is
the supervisor's, so it answers under overload too. `/metrics` is Prometheus' text format, or OpenMetrics where
`Accept` asks for it; [deploy/prometheus/](../deploy/prometheus/) has a scrape configuration, alert rules and their
tests, [deploy/grafana/](../deploy/grafana/) a dashboard.

- Figures are those of all workers together, by the rule named below: counters and histograms are added up, a gauge is
  the sum, the largest or the smallest. A worker that died is not forgotten: what it had counted stays, so sums never
  fall while the proxy runs; its gauges go. A reload resets nothing.
- Every label's values come from the configuration or from a list in the program, never from a request: a client can
  make no series.
- What is wrong with a route (`reason`s of our own making, results of decisions) is there as 0 from the start, so that
  the first time shows as an increase.
- A series whose subject is not configured is absent: no issuers, no `ztproxy_issuer_keys`.

A few questions and their answers:

| question | PromQL |
|---|---|
"""
_QUESTIONS = (
    (
        "what share of requests is refused, and why",
        "sum by (reason) (rate(ztproxy_refusals_total[5m])) / scalar(sum(rate(ztproxy_requests_total[5m])))",
    ),
    (
        "how slow are the slowest, by route",
        "histogram_quantile(0.99, sum by (le, route) (rate(ztproxy_request_duration_seconds_bucket[5m])))",
    ),
    (
        "what the policy engine takes, on average",
        "rate(ztproxy_decision_duration_seconds_sum[5m]) / rate(ztproxy_decision_duration_seconds_count[5m])",
    ),
    (
        "how often the memo answers",
        "rate(ztproxy_memo_hits_total[5m]) / (rate(ztproxy_memo_hits_total[5m]) + rate(ztproxy_memo_misses_total[5m]))",
    ),
    (
        "what a request costs in processor time",
        "sum(rate(ztproxy_process_cpu_seconds_total[5m])) / sum(rate(ztproxy_requests_total[5m]))",
    ),
    ("which certificate ends next", "bottomk(1, ztproxy_certificate_not_after_timestamp_seconds - time())"),
)
_LABELS = """
### Labels

| label | values |
|---|---|
"""
_SERIES = """
### Series

| series | kind | labels | over workers | what it says |
|---|---|---|---|---|
"""
_STATUS = """
## `ztproxy status`

Asks over `admin.address` and prints what is wrong, then a table for each kind of thing. It ends with 0 when all is
well, with 1 when something is not, and with 2 when nobody answers. Wrong is: no worker that is ready, or one that
died; a reload that failed; an issuer without keys, or away; a certificate with less than seven days left; a revocation
list that is not current; a server that is unhealthy or left out; a storage of limits that is away; overload; decisions
that cannot be recorded; workers with different policies.

`--json` prints the document that `GET /status` at the admin socket answers with, made of the words of all workers:
sums of what is counted, and of what can be good or bad the worst. Times are seconds since 1970. Keys are only ever
added; a change that is no addition would make `format` 2.
"""
_Struct = type[msgspec.Struct]


def markdown() -> str:
    """The document."""
    questions = "\n".join(f"| {question} | `{answer}` |" for question, answer in _QUESTIONS)
    series = "\n".join(map(_row, CATALOGUE.values()))
    parts = [_HEAD + questions, _LABELS + "\n".join(_labels()), _SERIES + series, _STATUS]
    return "\n".join([*parts, *_document(FleetStatus, "The document", set())]).rstrip()


def _labels() -> Iterator[str]:
    none = "refused before one was found, or answered by the proxy itself (redirects, preflights, its own paths)"
    yield f"| `route` | a route's name; `-`: {none} |"
    yield f"| `method` | {_codes((*METHODS, OTHER))} |"
    yield f"| `status` | {_codes((*STATUSES.values(), OTHER))}; `none`: the client was gone before it |"
    yield "| `reason` | as in [troubleshooting.md](troubleshooting.md) |"
    yield f"| `outcome` of handshakes | {_codes(OUTCOMES)} |"
    yield "| `rule` | what a rule of limits is keyed by, as configured: `token.subject+route` |"
    yield "| `file` | the name of a configured file, without its folder |"
    yield "| `worker` | a worker's place among the workers; the one that takes its place has the same |"


def _codes(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _row(series: Series) -> str:
    labels = ", ".join(f"`{label}`" for label in series.labels)
    over = "sum" if series.kind != "gauge" else "one a worker" if "worker" in series.labels else series.over
    return f"| `{series.name}` | {series.kind} | {labels} | {over} | {series.help} |"


def _document(struct: _Struct, title: str, seen: set[_Struct]) -> Iterator[str]:
    seen.add(struct)
    yield f"### {title}\n\n{(struct.__doc__ or '').strip()}\n\n| key | what it is |\n|---|---|"
    docs, below = _docstrings(struct), []
    for name, hint in get_type_hints(struct).items():
        held, many = _held(hint)
        text = docs.get(name, "")
        if held is not None:
            text = (
                f"{text} {'Each as' if many else 'As'} in [{_title(held)}](#{_title(held).replace(' ', '-')}).".strip()
            )
            below.append(held)
        yield f"| `{name}` | {text} |"
    yield ""
    for held in below:
        if held not in seen:
            yield from _document(held, _title(held), seen)


def _title(struct: _Struct) -> str:
    """`PolicyStatus` → `policy status`."""
    return "".join(f" {one.lower()}" if one.isupper() else one for one in struct.__name__).strip()


def _held(hint: Any) -> tuple[_Struct | None, bool]:
    """The struct that a field holds, and whether it holds several."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint, False
    for part in get_args(hint):
        held, many = _held(part)
        if held is not None:
            return held, many or getattr(hint, "__origin__", None) is tuple
    return None, False


def _docstrings(struct: _Struct) -> dict[str, str]:
    """What stands below each field in the source, in one line."""
    (definition,) = ast.parse(inspect.getsource(struct)).body
    found: dict[str, str] = {}
    name = ""
    for node in definition.body if isinstance(definition, ast.ClassDef) else ():
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif name and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[name] = " ".join(str(node.value.value).split())
    return found


if __name__ == "__main__":
    print(markdown())  # noqa: T201 - this is what it is run for
