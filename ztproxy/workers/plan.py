"""The configuration that all workers serve by, as the supervisor checked it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from ztproxy.config.loading import Problem, parse, read_text
from ztproxy.config.operation import worker_count
from ztproxy.config.settings import Settings
from ztproxy.spiffe.workload import Workload
from ztproxy.workers.messages import Prepare

_FIXED = ("workers", "admin", "health")
"""Keys that the supervisor itself lives by."""


How = Literal["read", "kept", "by-manifest"]
"""What becomes of the policy: its directory is read; or it stays as it is; or it is read, if its manifest agrees."""


class Source(msgspec.Struct, frozen=True):
    """Where the configuration comes from: the command line's say."""

    path: Path
    policy: Path | None = None
    workers: str | int | None = None


class Plan(msgspec.Struct, frozen=True):
    """A configuration and its text, read once for all workers."""

    source: Source
    text: str
    settings: Settings
    generation: int
    workload: Workload | None = None
    """Our SVID and the bundles of trust domains, where the configuration has `spiffe`."""

    @property
    def workers(self) -> int:
        """How many processes serve."""
        return worker_count(self.settings.workers)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the listeners, as configured."""
        return tuple(str(listener.address) for listener in self.settings.listeners)

    def order(self, how: How) -> Prepare:
        """What the workers are told."""
        policy = self.source.policy
        return Prepare(
            self.generation,
            self.text,
            str(self.source.path.absolute()),
            None if policy is None else str(policy.absolute()),
            self.workers,
            how == "kept",
            how == "by-manifest",
            self.workload,
        )


def read(source: Source, generation: int) -> Plan:
    """Read and check a configuration. Raises `ConfigError`."""
    text = read_text(source.path)
    return Plan(source, text, parse(text, source.path, source.policy, source.workers), generation)


def fixed(before: Plan, after: Plan) -> Iterator[Problem]:
    """Settings that differ and only a restart can change."""
    path = after.source.path
    for key in _FIXED:
        if getattr(before.settings, key) != getattr(after.settings, key):
            yield Problem.at(path, after.text, (key,), f"`{key}`: a reload cannot change it; restart the proxy")


def unkept(before: Plan, after: Plan) -> Iterator[Problem]:
    """Why the policy cannot stay as it is, where nobody has said that its directory is complete."""
    if before.settings.policy != after.settings.policy:
        why = "`policy`: changed; whether its directory is complete only you know: `ztproxy reload` takes it up"
        yield Problem.at(after.source.path, after.text, ("policy",), why)
