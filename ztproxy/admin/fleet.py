"""The seam between what looks after the workers and what shows and steers them from outside."""

from typing import Protocol

import msgspec

from ztproxy.admin.pages import Fleet
from ztproxy.admin.sessions import Lines, Listing, Revoked, Revoking


class Reloaded(msgspec.Struct, frozen=True):
    """How a reload ended: with problems, and nothing changed; or with none, and this serves."""

    problems: tuple[str, ...]
    generation: int
    """Of the configuration that serves; the first is 1."""
    revision: str
    """Of the policy that decides."""


class Steered(Fleet, Protocol):
    """The workers, as the supervisor has them, and what can be asked of it."""

    async def unready(self) -> list[str]:
        """What is not ready; empty when all is."""

    async def sessions(self, wanted: Listing) -> Lines:
        """Some of the open sessions."""

    async def revoke(self, wanted: Revoking) -> Revoked:
        """End sessions, in all workers at once."""

    async def reload(self, cause: str) -> Reloaded:
        """Take up changed files in all workers or in none."""
