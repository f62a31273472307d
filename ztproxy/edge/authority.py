"""Host (RFC 9110 §7.2), strictly: a name, an IPv4 or a bracketed IPv6 address, and a port.

What resolvers, browsers and servers read differently is refused: a trailing dot, octal and short IPv4 addresses,
user-info, lists, percent-encoding, an empty port (CWE-444).
"""

import ipaddress
import re

import msgspec

from ztproxy.edge.ill_formed import ambiguous, malformed
from ztproxy.model import Refusal

_SPLIT = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST = 253
_LAST_PORT = 65535
DEFAULT_PORTS = {"https": 443, "http": 80}


class Authority(msgspec.Struct, frozen=True, gc=False):
    """A host in lower case, IPv6 without brackets and compressed; `port` None when none was given."""

    host: str
    port: int | None
    bare: bytes
    """The host as it is written: IPv6 in brackets."""
    full: bytes
    """The same with the port that was given."""

    @classmethod
    def of(cls, host: str, port: int | None) -> "Authority":
        """From a host that was read."""
        bare = f"[{host}]" if ":" in host else host
        return cls(host, port, bare.encode(), (bare if port is None else f"{bare}:{port}").encode())

    def written(self, default_port: int) -> bytes:
        """As it is forwarded: the port only where it is not the scheme's."""
        return self.bare if self.port == default_port else self.full


def read_authority(raw: bytes) -> Authority | Refusal:
    """The host and port that `raw` names in exactly one way."""
    if not raw:
        return malformed("Host is empty")
    found = _SPLIT.fullmatch(raw.decode("latin-1").lower()) if raw.isascii() else None
    if not found or (found[3] and int(found[3]) > _LAST_PORT):
        return malformed("Host is not a name or an address with an optional port")
    port = int(found[3]) if found[3] else None
    if found[1]:
        try:
            return Authority.of(str(ipaddress.IPv6Address(found[1])), port)
        except ValueError:
            return malformed("Host is not a valid IPv6 address")
    return _name(found[2], port)


def _name(name: str, port: int | None) -> Authority | Refusal:
    if name.endswith("."):
        return ambiguous("Host ends in a dot")
    labels = name.split(".")
    if len(name) > _LONGEST or not all(map(_LABEL.fullmatch, labels)):
        return malformed("Host is not a valid name")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return Authority.of(str(ipaddress.IPv4Address(name)), port)
        except ValueError:
            return ambiguous("Host is an IPv4 address in an unusual form")
    return Authority.of(name, port)
