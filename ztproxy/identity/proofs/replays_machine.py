"""Which proofs were used already, by all processes of a machine: a table of `ztproxy.store`."""

from collections.abc import Callable
from math import ceil
from pathlib import Path

from ztproxy.identity.proofs.replays import StoreAwayError, Use
from ztproxy.store import FullError, StoreError, Table

_SINCE = "since"
"""The record that says when the table began to remember."""
_FOREVER = 2**63
_SECOND = 1_000_000
_LOOK = 1.0
"""Seconds between looks at whether the file is still the one that others open."""
_PROBES = (0.1, 0.2, 0.4, 1.0)
"""Seconds between attempts to use a table that could not be used."""
_PROBE_PATIENCE = 0.002
"""Seconds that an attempt may wait, while every proof is refused anyway."""


class MachineReplays:
    """Notes each proof under the table's lock, by the machine's clock; it never awaits anything.

    Args:
        folder: of the machine's tables.
        maximum: proofs that the table can hold; when there is no room, no further one is taken.
        lasting: seconds that a proof could be used again; part of the table's name, so that one that remembers less
            long is never gone on with.
        timeout: longest wait for a process that holds the table, in seconds.
        wall: seconds since 1970.
        report: told when the table cannot be used, and when it can be again.

    Raises:
        StoreError: it cannot be used safely.
    """

    kept = None

    def __init__(
        self,
        folder: Path,
        *,
        maximum: int,
        lasting: float,
        timeout: float,
        wall: Callable[[], float],
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._maximum = maximum
        self._lasting = ceil(lasting * _SECOND)
        self._timeout = timeout
        self._wall = wall
        self._report = report
        self._look_at = 0.0
        self._failures = 0
        self._cause = ""
        self._table, self._since = self._open(5.0)

    def _open(self, opening: float) -> tuple[Table, int]:
        """The table, and since when it remembers."""
        name = f"proofs-{self._lasting // _SECOND}s"
        table = Table.open(self._folder, name, self._maximum, self._timeout, opening=opening)
        table.add(_SINCE, ceil(self._wall()), _FOREVER)  # unless it says so already
        began = table.get(_SINCE)
        if began is None:
            raise StoreError(table.path, "is damaged: it does not say since when it remembers")
        return table, began[0]

    @property
    def path(self) -> Path:
        """The table's file."""
        return self._table.path

    @property
    def up(self) -> bool:
        """Whether the table could be used when last tried."""
        return self._failures == 0

    async def use(self, name: bytes, made_at: float, monotonic: float) -> Use:
        """See `Replays`; never suspends."""
        if self._failures and monotonic < self._look_at:
            raise StoreAwayError(self._cause)
        try:
            if monotonic >= self._look_at:
                self._look(monotonic)
            if made_at < self._since:
                return Use.UNKNOWN
            table = self._table
            return Use.FIRST if table.add(name.hex(), 0, table.now() + self._lasting) else Use.REPEATED
        except FullError:
            raise StoreAwayError("dpop.maximum_proofs reached") from None
        except (StoreError, OSError) as wrong:
            raise self._failed(wrong, monotonic) from None

    def _look(self, monotonic: float) -> None:
        """See whether the file is still in its place."""
        if not self._table.in_place:
            table, since = self._open(_PROBE_PATIENCE)
            self._table.close()
            self._table, self._since = table, since
            self._report(f"dpop.replay: {table.path} was removed or replaced; proofs made before are refused")
        if self._failures:
            self._table.lock(_PROBE_PATIENCE)
            self._table.unlock()
            self._failures = 0
            self._report("dpop.replay: the machine's table can be used again")
        self._look_at = monotonic + _LOOK

    def _failed(self, wrong: Exception, monotonic: float) -> StoreAwayError:
        """Refuse everything for a while; returns what to raise."""
        self._cause = str(wrong)
        if not self._failures:
            self._report(f"dpop.replay: the machine's table cannot be used ({self._cause})")
        self._look_at = monotonic + _PROBES[min(self._failures, len(_PROBES) - 1)]
        self._failures += 1
        return StoreAwayError(self._cause)

    async def close(self) -> None:
        """Close the file; what is in it stays for the others."""
        self._table.close()
