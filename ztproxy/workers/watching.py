"""Changed files, taken up without being told to where the configuration says so (`reload.watch`).

Looked at by their place, size and time, not by the kernel's notices, which a network file system and a swapped symbolic
link (as Kubernetes mounts secrets) do not give. What has changed counts once it has been at rest from one look to the
next.
"""

from pathlib import Path
from typing import Literal

from ztproxy.config.files import files_of
from ztproxy.workers.manifest import NAME
from ztproxy.workers.plan import Plan

State = tuple[tuple[str, int, int, int] | tuple[str], ...]
Changed = Literal["files", "policy"]


class Watch:
    """What was there when the configuration was last read, and what is there now."""

    def __init__(self) -> None:
        self._known: State = ()
        self._manifest: State = ()
        self._last: tuple[State, State] = ((), ())

    def take(self, plan: Plan) -> None:
        """This is what a reload that begins now reads."""
        self._known, self._manifest = self._last = _of(plan)

    def keep(self, plan: Plan) -> None:
        """The reload that began at `take` has read these files: what has changed since then is yet to be taken up."""
        before = {one[0]: one for one in (*self._known, *self._manifest)}
        now = _of(plan)
        self._last = now
        self._known, self._manifest = (tuple(before.get(one[0], one) for one in part) for part in now)

    def look(self, plan: Plan) -> Changed | None:
        """What has changed since and is at rest; `policy` when the manifest of the policy directory is among it."""
        now = _of(plan)
        at_rest = now == self._last
        self._last = now
        if not at_rest or now == (self._known, self._manifest):
            return None
        return "files" if now[1] == self._manifest else "policy"


def _of(plan: Plan) -> tuple[State, State]:
    directory = plan.settings.policy.path
    manifest = () if directory is None else (_state(directory / NAME),)
    return tuple(_state(path) for path in (plan.source.path, *files_of(plan.settings))), manifest


def _state(path: Path) -> tuple[str, int, int, int] | tuple[str]:
    try:
        found = path.stat()
    except OSError:
        return (str(path),)
    return (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
