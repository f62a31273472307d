"""The PROXY protocol's header, versions 1 and 2, read strictly: who the client of the balancer in front is.

Source: HAProxy's specification, proxy-protocol.txt, §2. Octets in, header out; no I/O.
"""

import re
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import msgspec

from ztproxy.edge.forwarded import normalised

LONGEST_V1: Final = 107
"""Octets, line end included (§2.1)."""
LONGEST_V2: Final = 4_096
"""Octets of addresses and further values (TLVs), which nobody here reads."""

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = 16
_PORT = rb"(0|[1-9][0-9]{0,4})"
_IPV4, _IPV6 = rb"([0-9.]{7,15})", rb"([0-9A-Fa-f:.]{2,45})"
_V1 = re.compile(rb"PROXY (?:TCP4 %b %b|TCP6 %b %b) %b %b" % (_IPV4, _IPV4, _IPV6, _IPV6, _PORT, _PORT))
_V1_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [\x20-\x7e]*)?")
_LAST_PORT = 65_535
_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC, _TCP4, _TCP6, _UNIX_STREAM = 0x00, 0x11, 0x21, 0x31
_LEAST = {_TCP4: 12, _TCP6: 36, _UNIX_STREAM: 216, _UNSPEC: 0}


class ProxyHeader(msgspec.Struct, frozen=True, gc=False):
    """A header that was read."""

    size: int
    """Octets that it takes; what follows is the client's."""
    address: str | None = None
    """The client's; None when the balancer speaks for itself, or does not say for whom."""
    port: int = 0


def read_header(data: bytes) -> ProxyHeader | str | None:
    """The header at the beginning of `data`; None while it is incomplete, else what is wrong with it."""
    if data[:12] == _SIGNATURE[: len(data)]:
        return _version_2(data) if len(data) >= _FIXED else None
    if data[:6] == b"PROXY "[: len(data)]:
        return _version_1(data)
    return "no PROXY header"


def _version_1(data: bytes) -> ProxyHeader | str | None:
    end = data.find(b"\r\n", 0, LONGEST_V1)
    if end < 0:
        return None if len(data) < LONGEST_V1 else "a PROXY line without an end"
    line = data[:end]
    if _V1_UNKNOWN.fullmatch(line):
        return ProxyHeader(end + 2)
    found = _V1.fullmatch(line)
    if found is None or int(found[5]) > _LAST_PORT or int(found[6]) > _LAST_PORT:
        return "a malformed PROXY line"
    kind = IPv4Address if found[1] else IPv6Address
    try:
        source, _ = (kind((found[n] or found[n + 2]).decode("ascii")) for n in (1, 2))
    except ValueError:
        return "a malformed address in a PROXY line"
    return _naming(end + 2, source, int(found[5]))


def _version_2(data: bytes) -> ProxyHeader | str | None:
    command, family, length = struct.unpack_from("!BBH", data, 12)
    if command not in (_LOCAL, _PROXY):
        return "a PROXY header of an unknown version or command"
    if length > LONGEST_V2:
        return "a PROXY header that is too long"
    if command == _PROXY and family not in _LEAST:
        return "a PROXY header for something that is no stream"
    if command == _PROXY and length < _LEAST[family]:
        return "a PROXY header that is too short for its addresses"
    size = _FIXED + length
    if len(data) < size:
        return None
    if command == _PROXY and family == _TCP4:
        return _naming(size, IPv4Address(data[16:20]), struct.unpack_from("!H", data, 24)[0])
    if command == _PROXY and family == _TCP6:
        return _naming(size, IPv6Address(data[16:32]), struct.unpack_from("!H", data, 48)[0])
    return ProxyHeader(size)


def _naming(size: int, source: IPv4Address | IPv6Address, port: int) -> ProxyHeader | str:
    """An address that can be somebody's: IPv4 in one spelling, however it was written."""
    address = normalised(str(source))
    if address is None or address.is_unspecified or address.is_multicast:
        return "a PROXY header that names no client"
    return ProxyHeader(size, str(address), port)
