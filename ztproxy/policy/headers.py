"""Which header fields a policy gets to see: never one that carries a credential."""

import re

from ztproxy.model import Fields
from ztproxy.policy.kept import Kept

_CREDENTIAL_WORDS = frozenset(
    {
        "apikey",
        "assertion",
        "auth",
        "authentication",
        "authorization",
        "bearer",
        "cookie",
        "cookie2",
        "credential",
        "credentials",
        "dpop",
        "jwt",
        "otp",
        "passphrase",
        "passwd",
        "password",
        "secret",
        "session",
        "sessionid",
        "token",
    }
)
# Browsers cannot set Authorization on a WebSocket, so clients put their tokens in the list of subprotocols.
_CREDENTIAL_NAMES = frozenset({"sec-websocket-protocol"})


class Headers:
    """Picks the fields that a policy sees, and writes them as the document has them.

    Args:
        wanted: the names, in lower case, that the policy looks at; None for all.
    """

    def __init__(self, wanted: frozenset[str] | None = None) -> None:
        self._wanted = wanted
        self._names: Kept[str | None] = Kept()

    def chosen(self, fields: Fields) -> Fields:
        """The fields that `read` makes its answer of."""
        names = self._names
        try:
            return tuple([field for field in fields if names[field[0]] is not None])
        except KeyError:
            return tuple([field for field in fields if self._name(field[0]) is not None])

    def read(self, fields: Fields) -> dict[str, list[str]]:
        """Values by name in lower case, in order."""
        headers: dict[str, list[str]] = {}
        names = self._names
        for raw, value in fields:
            try:
                name = names[raw]
            except KeyError:
                name = self._name(raw)
            if name is None:
                continue
            if name in headers:
                headers[name].append(value.decode("latin-1"))
            else:
                headers[name] = [value.decode("latin-1")]
        return headers

    def _name(self, raw: bytes) -> str | None:
        """The name as the document has it; None for a field that is left out."""
        if raw in self._names:
            return self._names[raw]
        name = raw.decode("latin-1").lower()
        seen = not is_credential(name) and (self._wanted is None or name in self._wanted)
        return self._names.keep(raw, name if seen else None)


def is_credential(name: str) -> bool:
    """Whether a field, by its lower-case name, carries a credential: such fields never enter the document."""
    return (
        not _CREDENTIAL_WORDS.isdisjoint(re.split("[-_.]", name))
        or "api-key" in name
        or name.endswith(("-access-key", "-functions-key", "-subscription-key"))
        or name in _CREDENTIAL_NAMES
    )
