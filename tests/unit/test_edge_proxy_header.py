"""The PROXY protocol's header by its grammar (proxy-protocol.txt §2)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztproxy.edge.proxy_header import LONGEST_V2, ProxyHeader, read_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 5000, 443)
V6 = bytes.fromhex("20010db8000000000000000000000001") + bytes(15) + b"\x02" + struct.pack("!HH", 5000, 443)


def v2(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest) if length is None else length) + rest


GOOD = {
    "TCP4": (b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\r\n", ("192.0.2.1", 5000)),
    "TCP6": (b"PROXY TCP6 2001:db8::1 ::2 65535 0\r\n", ("2001:db8::1", 65535)),
    "TCP6 written long": (b"PROXY TCP6 2001:0DB8:0:0:0:0:0:1 ::2 1 2\r\n", ("2001:db8::1", 1)),
    "TCP6 that is IPv4": (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n", ("192.0.2.1", 1)),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", (None, 0)),
    "UNKNOWN with more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", (None, 0)),
    "v2 TCP4": (v2(0x21, 0x11, V4), ("192.0.2.1", 5000)),
    "v2 TCP6": (v2(0x21, 0x21, V6), ("2001:db8::1", 5000)),
    "v2 with TLVs": (v2(0x21, 0x11, V4 + b"\x02\x00\x05a.com" + b"\x04\x00\x00"), ("192.0.2.1", 5000)),
    "v2 LOCAL": (v2(0x20, 0x00, b""), (None, 0)),
    "v2 LOCAL with addresses": (v2(0x20, 0x11, V4), (None, 0)),
    "v2 UNSPEC": (v2(0x21, 0x00, b""), (None, 0)),
    "v2 UNIX": (v2(0x21, 0x31, bytes(216)), (None, 0)),
    "v2 longest": (v2(0x21, 0x11, V4 + bytes(LONGEST_V2 - 12)), ("192.0.2.1", 5000)),
}
BAD = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "lower case": b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "two spaces": b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
    "space at the end": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
    "tab": b"PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "bare LF": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n" + b"x" * 100,
    "no end": b"PROXY UNKNOWN " + b"x" * 100,
    "108 octets": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "IPv6 as TCP4": b"PROXY TCP4 ::1 ::2 1 2\r\n",
    "IPv4 as TCP6": b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    "UDP4": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "octal address": b"PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n",
    "short address": b"PROXY TCP4 192.0.513 192.0.2.2 1 2\r\n",
    "bad destination": b"PROXY TCP4 192.0.2.1 192.0.2.256 1 2\r\n",
    "port 65536": b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
    "port 01": b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
    "port +1": b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
    "no port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "another word": b"PROXY UNKNOWNX\r\n",
    "control in UNKNOWN": b"PROXY UNKNOWN \x00\r\n",
    "scope": b"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
    "nobody's address": b"PROXY TCP4 0.0.0.0 192.0.2.2 1 2\r\n",
    "multicast": b"PROXY TCP4 224.0.0.1 192.0.2.2 1 2\r\n",
    "v2 version 1": v2(0x11, 0x11, V4),
    "v2 version 3": v2(0x31, 0x11, V4),
    "v2 command 2": v2(0x22, 0x11, V4),
    "v2 UDP": v2(0x21, 0x12, V4),
    "v2 family 4": v2(0x21, 0x41, V4),
    "v2 too short": v2(0x21, 0x11, V4[:11]),
    "v2 TCP6 too short": v2(0x21, 0x21, V6[:35]),
    "v2 too long": v2(0x21, 0x11, V4, length=LONGEST_V2 + 1),
    "v2 nobody's address": v2(0x21, 0x11, bytes(12)),
}


@pytest.mark.parametrize(("octets", "named"), GOOD.values(), ids=GOOD.keys())
def test_a_header_is_read_whole_and_no_further(octets, named):
    for rest in (b"", b"GET / HTTP/1.1\r\n", b"PROXY UNKNOWN\r\n"):
        assert read_header(octets + rest) == ProxyHeader(len(octets), *named)


@pytest.mark.parametrize(("octets", "named"), GOOD.values(), ids=GOOD.keys())
def test_less_than_a_header_is_waited_for(octets, named):
    assert named
    assert {read_header(octets[:at]) for at in range(len(octets))} == {None}


@pytest.mark.parametrize("octets", BAD.values(), ids=BAD.keys())
def test_anything_else_is_refused_however_it_is_cut(octets):
    assert isinstance(read_header(octets), str)
    cut = next(read for at in range(len(octets) + 1) if (read := read_header(octets[:at])) is not None)
    assert isinstance(cut, str)


@given(st.binary(max_size=200))
def test_arbitrary_octets_never_raise(octets):
    for prefix in (b"", SIGNATURE, b"PROXY "):
        read = read_header(prefix + octets)
        assert read is None or isinstance(read, str | ProxyHeader)
