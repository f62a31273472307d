"""What was made once and is kept under the name of what it was made from, boundedly."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

MAXIMUM_KEPT = 1024
"""Values kept of each kind."""

Made = TypeVar("Made")


class Kept(OrderedDict[Hashable, Made], Generic[Made]):
    """The last values made, by key; the oldest goes when it is full, so that strangers cannot make it grow."""

    def keep(self, key: Hashable, made: Made) -> Made:
        if len(self) >= MAXIMUM_KEPT:
            self.popitem(last=False)
        self[key] = made
        return made
