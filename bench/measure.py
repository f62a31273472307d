"""Measures one row once: load on keep-alive connections, full handshakes, idle connections, large bodies."""

import json
import pathlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processes import pinned
from table import CPU, DISTURBED


class LoadFailed(Exception):  # noqa: N818 - reads as what happened, in a row of the table
    """The load generator found errors or unexpected answers: there is nothing to report but that."""


@dataclass(frozen=True)
class Lengths:
    """How long each part takes, in seconds, and how many connections the idle part holds."""

    warmup: float
    load: float
    handshakes: float
    idle: int
    browser: float = 0.0
    body: float = 0.0
    attempts: int = 2
    """Of a measurement during which others took a share of the machine's cores."""
    connections: int = 32


@dataclass(frozen=True)
class Body:
    """Content of one size in one direction."""

    name: str
    size: int
    path: str
    connections: int
    upload: bool

    @property
    def arguments(self) -> Sequence[str]:
        """What the load generator is told."""
        expected = ["-upload", str(self.size)] if self.upload else ["-expect", str(self.size)]
        return ["-path", self.path, "-connections", str(self.connections), *expected]


def _both_ways(name: str, size: int, connections: int) -> Sequence[Body]:
    return (
        Body(f"{name}_download", size, f"/api/items/content/{name}", connections, upload=False),
        Body(f"{name}_upload", size, "/api/service-7/upload", connections, upload=True),
    )


CONTENTS = {"64kB": 64_000, "10MB": 10_000_000}  # bytes of the files that the backend serves
BODIES = (*_both_ways("64kB", CONTENTS["64kB"], 32), *_both_ways("10MB", CONTENTS["10MB"], 8))
GRACE = 60.0  # seconds beyond a measurement's own length


@dataclass(frozen=True)
class Target:
    """Where a row listens, and what is watched while it is under load."""

    run: pathlib.Path
    load: pathlib.Path
    port: int
    proxy: Sequence[int]  # process ids
    backend: Sequence[int]
    core: str
    unique: bool
    """Whether no two requests ask for the same path."""
    proven: bool = False
    """Whether each request proves the key that its token is bound to."""
    session: bool = False
    """Whether requests show a session's cookie in place of a token."""

    def measured(self, mode: str, lengths: Lengths, duration: float, *extra: str) -> Mapping[str, Any]:
        """Run the load generator once.

        Raises:
            LoadFailed: with its own words, whenever it did not end with 0.
        """
        watch = ";".join(f"{name}={','.join(map(str, pids))}" for name, pids in self._watched())
        command = [
            str(self.load),
            *("-mode", mode, "-address", f"127.0.0.1:{self.port}", "-watch", watch),
            *("-certificate", str(self.run / "client.pem"), "-key", str(self.run / "client.key")),
            *("-server-certificate", str(self.run / "server.pem"), *self._tokens()),
            *("-warmup", f"{lengths.warmup}s", "-duration", f"{duration}s"),
            *("-connections", str(lengths.connections), *extra),
        ]
        limit = lengths.warmup + duration + GRACE
        try:
            done = subprocess.run(
                pinned(self.core, command), capture_output=True, text=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LoadFailed(f"{mode}: did not end within {limit:.0f} s") from error
        if done.returncode:
            raise LoadFailed(f"{mode}: {done.stderr.strip()[-400:]}")
        report: Mapping[str, Any] = json.loads(done.stdout)
        return report

    def _tokens(self) -> Sequence[str]:
        if self.session:
            return ["-cookies", str(self.run / "cookies")]
        if not self.proven:
            return ["-tokens", str(self.run / "tokens")]
        return ["-tokens", str(self.run / "bound-tokens"), "-proof-key", str(self.run / "holder.key")]

    def paths(self) -> Sequence[str]:
        """What the load generator is told of its paths."""
        return ["-unique"] if self.unique else []

    def _watched(self) -> Sequence[tuple[str, Sequence[int]]]:
        return (("proxy", self.proxy), ("backend", self.backend))


def _others(report: Mapping[str, Any]) -> float:
    """How many cores' worth of time went to processes that are no part of the benchmark."""
    used = {name: group["cpu_seconds"] for name, group in report["processes"].items()}
    foreign: float = used["machine"] - used["proxy"] - used["load"] - used["backend"]
    seconds: float = report["seconds"]
    return max(0.0, foreign / seconds)


def _least_disturbed(target: Target, mode: str, lengths: Lengths, duration: float, *extra: str) -> Mapping[str, Any]:
    """Measure again, a bounded number of times, while something else on the machine took a share of its cores."""
    reports: list[Mapping[str, Any]] = []
    while len(reports) < lengths.attempts and (not reports or _others(reports[-1]) > DISTURBED):
        reports.append(target.measured(mode, lengths, duration, *extra))
    return min(reports, key=_others)


def load(target: Target, lengths: Lengths) -> dict[str, float]:
    """Put a row under load on keep-alive connections."""
    report = _least_disturbed(target, "load", lengths, lengths.load, *target.paths())
    seconds, processes = report["seconds"], report["processes"]
    used = {name: group["cpu_seconds"] for name, group in processes.items()}
    cpu = used["proxy"]
    return {
        "requests_per_second": report["per_second"],
        "p50_ms": report["p50_ms"],
        "p90_ms": report["p90_ms"],
        "p99_ms": report["p99_ms"],
        "max_ms": report["max_ms"],
        CPU: 1000 * cpu / report["requests"],
        "proxy_core_busy": cpu / seconds,
        "load_core_busy": (used["load"] + used["backend"]) / seconds,
        "load_us_per_request": 1e6 * used["load"] / report["requests"],
        "backend_us_per_request": 1e6 * used["backend"] / report["requests"],
        "others_busy": _others(report),
        "rss_mb_under_load": processes["proxy"]["rss_kb"] / 1024,
        "pss_mb_under_load": processes["proxy"]["pss_kb"] / 1024,
    }


def browser(target: Target, lengths: Lengths) -> dict[str, float]:
    """The same load with ten more fields in each request, as browsers send them."""
    report = _least_disturbed(target, "load", lengths, lengths.browser, "-browser", *target.paths())
    return {
        "browser_requests_per_second": report["per_second"],
        "browser_p99_ms": report["p99_ms"],
        f"browser_{CPU}": 1000 * report["processes"]["proxy"]["cpu_seconds"] / report["requests"],
    }


def body(target: Target, lengths: Lengths, one: Body) -> dict[str, float]:
    """Carry contents of one kind: megabytes a second, and the proxy's processor seconds for a gigabyte."""
    tokens = ["-tokens", str(target.run / "editor-tokens")]
    report = _least_disturbed(target, "load", lengths, lengths.body, *tokens, *one.arguments)
    carried = one.size * report["requests"]
    return {
        f"{one.name}_megabytes_per_second": carried / report["seconds"] / 1e6,
        f"{one.name}_cpu_seconds_per_gigabyte": 1e9 * report["processes"]["proxy"]["cpu_seconds"] / carried,
    }


def bodies(target: Target, lengths: Lengths) -> dict[str, float]:
    """Carry large contents, each kind by itself."""
    return {name: figure for one in BODIES for name, figure in body(target, lengths, one).items()}


def handshakes(target: Target, lengths: Lengths) -> dict[str, float]:
    """Ask once on each new connection."""
    report = _least_disturbed(target, "handshakes", lengths, lengths.handshakes, *target.paths())
    cpu = report["processes"]["proxy"]["cpu_seconds"]
    return {
        "handshakes_per_second": report["per_second"],
        "cpu_ms_per_handshake": 1000 * cpu / report["requests"],
    }


def idle(target: Target, lengths: Lengths) -> dict[str, float]:
    """Hold many connections that have each asked once; a row must be warm before."""
    report = target.measured("idle", lengths, 0, "-idle", str(lengths.idle), *target.paths())
    grown = report["processes"]["proxy"]
    return {
        "idle_connection_kb": grown["rss_kb"] / lengths.idle,
        "idle_connection_pss_kb": grown["pss_kb"] / lengths.idle,
    }
