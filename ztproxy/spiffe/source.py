"""Where workload identity comes from over time: what it is now, and when it has become something else."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ztproxy.config.settings import Settings
from ztproxy.config.spiffe import Spiffe
from ztproxy.config.spiffe_ids import SCHEME
from ztproxy.spiffe import files
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.workload import Workload

Say = Callable[[str], None]


class Source(Protocol):
    """Of one configuration. What cannot be used is told and never handed out: what was known before stays."""

    problem: str
    """Why what it says may not be what is true by now; empty when all is well."""

    async def now(self) -> Workload:
        """What it is now; the first time waited for as long as the configuration says. Raises `SpiffeError`."""

    async def changed(self) -> None:
        """Until it may be something else than `now` said last. Cancelling loses nothing."""

    def close(self) -> None:
        """Look no more."""


class Files:
    """Files, looked at every so often; what has changed counts once it is at rest.

    Args:
        spiffe: the configuration.
        say: tells the operator.
        wall: seconds since 1970.
    """

    def __init__(self, spiffe: Spiffe, say: Say, wall: Callable[[], float] = time.time) -> None:
        self._spiffe = spiffe
        self._say = say
        self._wall = wall
        self._seen: object = None
        self.problem = ""

    async def now(self) -> Workload:
        """What they hold."""
        seen = self._state()
        workload = await asyncio.to_thread(files.read, self._spiffe, self._wall())
        self._seen, self.problem = seen, ""
        return workload

    async def changed(self) -> None:
        """Until they have changed, are at rest, and can be used."""
        before = told = self._seen
        while True:
            await asyncio.sleep(self._spiffe.interval)
            now = self._state()
            if now != before:
                before = now
            elif now not in (self._seen, told):
                try:
                    await asyncio.to_thread(files.read, self._spiffe, self._wall())
                except SpiffeError as wrong:
                    told = now  # once, until they change again
                    self.problem = str(wrong)
                    self._say(f"spiffe: what was known before stays in use: {wrong}")
                else:
                    return

    def close(self) -> None:
        """Nothing is open."""

    def _state(self) -> object:
        return [_stat(path) for path in files.files_of(self._spiffe)]


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def source_of(settings: Settings, say: Say) -> Source | None:
    """The one that a configuration names, None where it has no workload identity.

    Raises:
        SpiffeError: what it takes is not installed.
    """
    spiffe = settings.spiffe
    if spiffe is None:
        return None
    if spiffe.workload_api is None:
        return Files(spiffe, say)
    from ztproxy.spiffe.workload_api import WorkloadApi  # noqa: PLC0415 - gRPC, and only where it is asked for

    return WorkloadApi(spiffe, spiffe.workload_api, say, tokens=_are_tokens_asked(settings))


def key_of(settings: Settings) -> object:
    """What makes a source another one when it changes."""
    return settings.spiffe, _are_tokens_asked(settings)


def _are_tokens_asked(settings: Settings) -> bool:
    return any(issuer.issuer.startswith(SCHEME) for issuer in settings.issuers)


async def once(settings: Settings) -> Workload | None:
    """What it is now, for whoever looks once. Raises `SpiffeError`."""
    source = source_of(settings, lambda _: None)
    if source is None:
        return None
    try:
        return await source.now()
    finally:
        source.close()
