"""What came of asking an issuer at the operator's word: which keys are gone, which are new, what failed."""

from collections.abc import Iterable

import msgspec

from ztproxy.identity.issuers.keys import Key


class Refreshing(msgspec.Struct, frozen=True, tag="refresh-issuers"):
    """Ask issuers now, whatever was tried a moment ago. Answered by a list of `Refreshed`."""

    issuer: str | None
    """Its name; None: all of them."""


class Refreshed(msgspec.Struct, frozen=True):
    """One issuer, asked by one worker."""

    issuer: str
    before: tuple[str, ...]
    """The names of its keys."""
    after: tuple[str, ...]
    """Those that count from now on; as before where it failed."""
    failures: tuple[str, ...] = ()
    """Why it could not be asked; empty when all went well."""

    @property
    def removed(self) -> tuple[str, ...]:
        """Keys that count no more."""
        return tuple(name for name in self.before if name not in self.after)

    @property
    def added(self) -> tuple[str, ...]:
        """Keys that are new."""
        return tuple(name for name in self.after if name not in self.before)


def names_of(keys: Iterable[Key]) -> tuple[str, ...]:
    """Each key's id as its issuer writes it, and the beginning of a hash: one id may come to mean another key."""
    return tuple(f"{key.key_id or '-'}#{key.identity.hex()[:8]}" for key in keys)
