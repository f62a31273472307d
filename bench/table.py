"""Turns the rounds' figures into medians, ratios, a table and result.json."""

import json
import os
import pathlib
import platform
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

RATIOS = {"bare_nginx": "nginx", "bare_envoy": "envoy", "envoy_opa": "envoy-opa"}
CPU = "cpu_seconds_per_1000_requests"
DISTURBED = 0.1  # of a core, taken by others than the benchmark
BUSY = 0.9  # a proxy below this share of its core was not the bottleneck: its requests/s are the load's

TIMES = "\N{MULTIPLICATION SIGN}"
NOTES = """\
Only the ratios mean anything. + : the proxy's core was not all busy: the load was the limit, or others ran.
Envoy + OPA decides each request anew, and so does ztproxy where it says so: that is the like-for-like figure. Where the
same is asked again, ztproxy's memo answers: what users get who do ask again, but no like-for-like figure."""

Columns = Sequence[tuple[str, str, str]]
"""Heading, name of the figure, format."""

COLUMNS: Columns = (
    ("requests/s", "requests_per_second", ",.0f"),
    ("p50 ms", "p50_ms", ".2f"),
    ("p99 ms", "p99_ms", ".2f"),
    ("CPU s/1,000", CPU, ".3f"),
    ("core busy", "proxy_core_busy", ".0%"),
    ("RSS MB", "rss_mb_under_load", ".0f"),
    ("idle kB", "idle_connection_kb", ".1f"),
    ("handshakes/s", "handshakes_per_second", ",.0f"),
    (f"{TIMES} nginx's", "handshakes_times_bare_nginx", ".2f"),
    (f"{TIMES} nginx", "times_bare_nginx", ".2f"),
    (f"{TIMES} Envoy", "times_bare_envoy", ".2f"),
    (f"{TIMES} Envoy+OPA", "times_envoy_opa", ".2f"),
)

BROWSER: Columns = (
    ("requests/s", "browser_requests_per_second", ",.0f"),
    ("p99 ms", "browser_p99_ms", ".2f"),
    ("CPU s/1,000", f"browser_{CPU}", ".3f"),
    (f"{TIMES} nginx", "browser_times_bare_nginx", ".2f"),
    (f"{TIMES} Envoy", "browser_times_bare_envoy", ".2f"),
)
BODIES: Columns = tuple(
    column
    for size in ("64kB", "10MB")
    for way in ("download", "upload")
    for column in (
        (f"{size} {way} MB/s", f"{size}_{way}_megabytes_per_second", ",.0f"),
        (f"{TIMES} nginx", f"{size}_{way}_times_bare_nginx", ".2f"),
    )
)


def undisturbed(rounds: Sequence[Mapping[str, float]]) -> Sequence[Mapping[str, float]]:
    """Leave out rounds in which others took their share of the machine, so long as one is left."""
    quiet = [figures for figures in rounds if figures["others_busy"] <= DISTURBED]
    return quiet or [min(rounds, key=lambda figures: figures["others_busy"])]


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Give the median of each figure over the undisturbed rounds, or over all where none of those has it."""
    counted = undisturbed(rounds)
    result: dict[str, float] = {"rounds_counted": len(counted)}
    for name in dict.fromkeys(name for figures in rounds for name in figures):
        values = [figures[name] for figures in counted if name in figures]
        result[name] = statistics.median(values or [figures[name] for figures in rounds if name in figures])
    return result


def _compared() -> Iterator[tuple[str, str, str]]:
    """What is compared: the prefix of the ratio, the figure of which more is better, and its cost in processor time."""
    yield "", "requests_per_second", CPU
    yield "browser_", "browser_requests_per_second", f"browser_{CPU}"
    yield "handshakes_", "handshakes_per_second", "cpu_ms_per_handshake"
    for body in BODIES[::2]:
        name = body[1].removesuffix("_megabytes_per_second")
        yield f"{name}_", body[1], f"{name}_cpu_seconds_per_gigabyte"


def with_ratios(rows: Mapping[str, dict[str, float]]) -> None:
    """Add each row's figures, by the clock and by processor time, as multiples of the peers' in the same run."""
    for figures in rows.values():
        for label, peer in RATIOS.items():
            theirs = rows.get(peer, {})
            for prefix, figure, cost in _compared():
                if figure in figures and figure in theirs:
                    figures[f"{prefix}times_{label}"] = figures[figure] / theirs[figure]
                    figures[f"{prefix}times_{label}_by_cpu"] = theirs[cost] / figures[cost]


def machine() -> dict[str, object]:
    """Describe the machine without naming it."""
    cpu = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    return {
        "processor": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) / 2**20) if memory else None,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def lines(
    titles: Mapping[str, str],
    rows: Mapping[str, dict[str, float]],
    failures: Mapping[str, str],
    columns: Columns = COLUMNS,
) -> list[str]:
    """Render a table as Markdown: rows that have its first figure, and a line for each that could not be measured."""
    header = ["", *(heading for heading, _, _ in columns)]
    rendered = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * len(columns)]
    for name, title in titles.items():
        if name in failures:
            rendered.append(f"| {title} | failed: {failures[name].replace('|', '/')} |")
        elif columns[0][1] in rows.get(name, {}):
            cells = [_cell(rows[name], figure, form) for _, figure, form in columns]
            rendered.append(f"| {title} | " + " | ".join(cells) + " |")
    return rendered


def _cell(figures: Mapping[str, float], name: str, form: str) -> str:
    if name not in figures:
        return "-"
    mark = "+" if name == "requests_per_second" and figures["proxy_core_busy"] < BUSY else ""
    return format(figures[name], form) + mark


def write(path: pathlib.Path, result: Mapping[str, Any]) -> None:
    """Write result.json."""
    path.write_text(json.dumps(result, indent=2) + "\n")
