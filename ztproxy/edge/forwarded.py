"""Whose address a request has: the socket's, or the one that a trusted proxy vouches for.

X-Forwarded-For is read from the right, through trusted proxies, to the first address that is not one; what stands left
of it was written by a stranger and is never looked at (CVE-2026-30851).
"""

import functools
import ipaddress
import re
from collections.abc import Sequence

import msgspec

from ztproxy.edge.ill_formed import malformed
from ztproxy.model import Refusal

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

_ENTRY = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([0-9.]+)(?::\d{1,5})?|([0-9A-Fa-f:.]+)")

_LONGEST = 64
"""Characters: no address is longer, with its scope."""


class Peer(msgspec.Struct, frozen=True):
    """The other end of the socket: its address, normalised, and whether it is a trusted proxy."""

    address: str
    trusted: bool


def normalised(text: str) -> IpAddress | None:
    """An address without its scope, IPv4-mapped IPv6 as IPv4 (RFC 4291 §2.5.5.2); None when it is none."""
    return _normalised(text) if len(text) <= _LONGEST else None


@functools.lru_cache(maxsize=4096)
def _normalised(text: str) -> IpAddress | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def trusts(networks: Networks, address: IpAddress) -> bool:
    """Whether an address belongs to a trusted proxy."""
    return any(address.version == network.version and address in network for network in networks)


def read_peer(text: str, networks: Networks) -> Peer:
    """The socket's peer; one without an address (a Unix socket) is not trusted."""
    address = normalised(text)
    if address is None:
        return Peer("", trusted=False)
    return Peer(str(address), trusts(networks, address))


def read_source(peer: Peer, values: Sequence[bytes], networks: Networks) -> str | Refusal:
    """The client's address: the rightmost in X-Forwarded-For that is not trusted, else the leftmost."""
    source = peer.address
    for entry in reversed(b",".join(values).split(b",")) if values else ():
        found = _ENTRY.fullmatch(entry.decode("latin-1").strip(" \t"))
        address = normalised(found[1] or found[2] or found[3]) if found else None
        if address is None:
            return malformed("X-Forwarded-For holds something that is no address")
        source = str(address)
        if not trusts(networks, address):
            break
    return source


def read_scheme(values: Sequence[bytes], own: str) -> str | Refusal:
    """The scheme that the client used, as a trusted proxy says; ours when it says nothing."""
    if not values:
        return own
    if len(values) == 1 and (scheme := values[0].lower()) in (b"http", b"https"):
        return scheme.decode()
    return malformed("X-Forwarded-Proto is not one of http and https")
