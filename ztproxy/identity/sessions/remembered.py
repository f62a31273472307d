"""What a process remembers of sessions: found by their cookie's hash, or by their name; bounded."""

from collections import OrderedDict

from ztproxy.identity.sessions.entry import Entry
from ztproxy.identity.sessions.session import name_of

MOST_REMEMBERED = 16384


class Remembered:
    """Entries by the SHA-256 of the cookie's value that a browser presents."""

    def __init__(self, maximum: int = MOST_REMEMBERED) -> None:
        self._maximum = maximum
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._by_name: dict[str, bytes] = {}
        self.endings = 0
        """Counts what ended here, so that what was read before an end is not taken for what is after it."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self._entries)

    def get(self, digest: bytes) -> Entry | None:
        """By the cookie's hash."""
        return self._entries.get(digest)

    def digest_of(self, name: str) -> bytes | None:
        """The cookie's hash, by the session's name."""
        return self._by_name.get(name)

    def remember(self, digest: bytes, entry: Entry) -> None:
        """Keep it, and let the oldest go where there are too many."""
        self._entries[digest] = entry
        self._by_name[entry.name] = digest
        while len(self._entries) > self._maximum:
            _, oldest = self._entries.popitem(last=False)
            self._by_name.pop(oldest.name, None)

    def forget(self, key: bytes) -> None:
        """The session of this key has ended: nobody who holds its entry goes by it any more."""
        self.endings += 1
        digest = self._by_name.pop(name_of(key), None)
        if digest is not None and (entry := self._entries.pop(digest, None)):
            entry.end()

    def doubt(self) -> None:
        """Have the store asked anew about every session."""
        self.endings += 1
        for entry in self._entries.values():
            entry.fresh_until = 0.0
