"""What `config check` finds: everything that `run` would say against a configuration, but for its sockets."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ztproxy.config.settings import Settings
from ztproxy.generation import STREAMS
from ztproxy.parts import StartError, build
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.source import once
from ztproxy.summary import warnings
from ztproxy.writable import unwritable


class Checked(NamedTuple):
    """What was found."""

    problems: list[str]
    """What would keep `run` from serving."""
    warnings: list[str]
    """What is allowed but unsafe; not looked for while there are problems."""


def check(settings: Settings) -> Checked:
    """Build everything, serve nothing."""

    async def attempt() -> Checked:
        unopened = list(_log_problems(settings))
        try:
            parts = build(settings, workload=await once(settings))
        except SpiffeError as wrong:
            return Checked([str(wrong), *unopened], [])
        except StartError as wrong:
            return Checked([*wrong.problems, *unopened], [])
        try:
            return Checked(unopened, list(warnings(parts)))
        finally:
            await parts.close()

    return asyncio.run(attempt())


def _log_problems(settings: Settings) -> Iterator[str]:
    """What keeps a log that has to be there from being opened."""
    logs = settings.logs
    if logs.access not in STREAMS and (why := unwritable(Path(logs.access))):
        yield f"logs.access: {why}"
    if logs.decisions is not None and settings.decisions.required and (why := unwritable(logs.decisions)):
        yield f"logs.decisions: {why}"
