"""Turns the rounds' figures into medians, ratios, a table and result.json."""

import json
import os
import pathlib
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

RATIOS = {"bare_nginx": "nginx", "bare_envoy": "envoy", "envoy_opa": "envoy-opa"}
CPU = "cpu_seconds_per_1000_requests"
DISTURBED = 0.1  # of a core, taken by others than the benchmark
BUSY = 0.9  # a proxy below this share of its core was not the bottleneck: its requests/s are the load's

TIMES = "\N{MULTIPLICATION SIGN}"

COLUMNS: Sequence[tuple[str, str, str]] = (
    ("requests/s", "requests_per_second", ",.0f"),
    ("p50 ms", "p50_ms", ".2f"),
    ("p99 ms", "p99_ms", ".2f"),
    ("CPU s/1,000", CPU, ".3f"),
    ("core busy", "proxy_core_busy", ".0%"),
    ("RSS MB", "rss_mb_under_load", ".0f"),
    ("idle kB", "idle_connection_kb", ".1f"),
    ("handshakes/s", "handshakes_per_second", ",.0f"),
    (f"{TIMES} nginx", "times_bare_nginx", ".2f"),
    (f"{TIMES} Envoy", "times_bare_envoy", ".2f"),
    (f"{TIMES} Envoy+OPA", "times_envoy_opa", ".2f"),
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


def with_ratios(rows: Mapping[str, dict[str, float]]) -> None:
    """Add each row's requests per second, and per processor second, as multiples of the peers' in the same run."""
    for figures in rows.values():
        for label, peer in RATIOS.items():
            if peer in rows:
                theirs = rows[peer]
                figures[f"times_{label}"] = figures["requests_per_second"] / theirs["requests_per_second"]
                figures[f"times_{label}_by_cpu"] = theirs[CPU] / figures[CPU]


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


def lines(titles: Mapping[str, str], rows: Mapping[str, dict[str, float]], failures: Mapping[str, str]) -> list[str]:
    """Render the table as Markdown, with a line for each row that could not be measured."""
    header = ["", *(heading for heading, _, _ in COLUMNS)]
    rendered = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for name, title in titles.items():
        if name in failures:
            rendered.append(f"| {title} | failed: {failures[name].replace('|', '/')} |")
        elif name in rows:
            cells = [_cell(rows[name], figure, form) for _, figure, form in COLUMNS]
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
