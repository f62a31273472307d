"""The seam between what looks after the workers and what shows and steers them from outside."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ztproxy.admin.pages import Fleet
from ztproxy.admin.sessions import Lines, Listing, Revoked, Revoking
from ztproxy.identity.issuers.refreshing import Refreshed


class Reloaded(msgspec.Struct, frozen=True):
    """How a reload ended: with problems, and nothing changed; or with none, and this serves."""

    problems: tuple[str, ...]
    generation: int
    """Of the configuration that serves; the first is 1."""
    revision: str
    """Of the policy that decides."""


class WorkerRefreshed(msgspec.Struct, frozen=True):
    """What came of asking issuers in one worker."""

    worker: int
    issuers: tuple[Refreshed, ...] | None
    """None: it did not answer in time."""


class IssuersRefreshed(msgspec.Struct, frozen=True):
    """What came of asking issuers in all workers."""

    workers: tuple[WorkerRefreshed, ...]

    @property
    def failed(self) -> bool:
        """Whether any worker still goes by what it knew before."""
        return not self.workers or any(
            worker.issuers is None or any(one.failures for one in worker.issuers) for worker in self.workers
        )


class Steered(Fleet, Protocol):
    """The workers, as the supervisor has them, and what can be asked of it."""

    async def unready(self) -> list[str]:
        """What is not ready; empty when all is."""

    def issuers(self) -> Sequence[str]:
        """Those that can be asked, by their names."""

    async def refresh(self, issuer: str | None) -> IssuersRefreshed:
        """Ask one issuer, or all, now, in all workers; one at a time."""

    async def sessions(self, wanted: Listing) -> Lines:
        """Some of the open sessions."""

    async def revoke(self, wanted: Revoking) -> Revoked:
        """End sessions, in all workers at once."""

    async def reload(self, cause: str) -> Reloaded:
        """Take up changed files in all workers or in none."""
