"""Requests that must be refused, in many spellings, and requests that must not: for test_corpus.py."""

from collections.abc import Iterator

from tests.attacks.test_framing import BODIES, CHUNKED, HEADS, POST
from tests.attacks.test_identity_headers_inbound import POSING
from tests.attacks.test_paths import AMBIGUOUS, MALFORMED
from tests.attacks.test_target_and_host import HOSTS, REQUESTS
from tests.edge import get

_BAD_LENGTHS = [
    b"", b" ", b"+0", b"-0", b"+5", b"-5", b"5;", b"5,", b",5", b"5,5", b"5, 5", b"5 5", b"5\t5", b"0x5", b"0X5", b"5h",
    b"0o5", b"0b1", b"5_0", b"5.0", b"5e0", b"05", b"00",
    b"1e1", b'"5"', b"\xb25", b"5\xa0", b"\xef\xbc\x95", b"five", b"NaN",
    b"9" * 19, b"9" * 40, b"18446744073709551616", b"9223372036854775808", b"4294967296" * 3,
]  # fmt: skip
_BAD_CODINGS = [
    b"", b" ", b"identity", b"gzip", b"deflate",
    b"compress", b"br", b"trailers", b"xchunked", b"chunkedx", b"chunked-x",
    b"chunked chunked", b"chunked,chunked", b"chunked, chunked", b"chunked, identity", b"identity, chunked",
    b"gzip, chunked", b"chunked, gzip", b"chunked,", b",chunked",
    b", ,chunked", b"chunked;q=1", b"chunked;", b'"chunked"',
    b"'chunked'", b"chun ked", b"chunked\x0b", b"\x0bchunked",
    b"\x0cchunked", b"chunked\xa0", b"ch\xd1\x83nked", b"\xffchunked",
    b"chunked=1", b"chunked/1", b"chunkedchunked", b"Transfer-Encoding: chunked",
]  # fmt: skip
_BAD_NAMES = [
    b"", b" X", b"X ", b"X\t", b"X\x00", b"X\x0b", b"X(", b"X)", b"X,", b"X/", b"X;", b"X<", b"X=", b"X>", b"X?", b"X@",
    b"X[", b"X\\", b"X]", b"X{", b"X}", b'X"', b"X\x7f", b"X\x80", b"X\xff", b"X Y", b"\xef\xbb\xbfX", b"X\r", b"X\n",
]  # fmt: skip
_FRAMING_NAMES = [
    b"Content-Length",
    b"Transfer-Encoding",
    b"Host",
    b"Connection",
    b"content-length",
    b"TRANSFER-ENCODING",
]
_BAD_LINES = [
    b"GET /", b"GET", b"", b"/ HTTP/1.1", b"GET HTTP/1.1", b"GET /  HTTP/1.1", b"GET  / HTTP/1.1", b" GET / HTTP/1.1",
    b"GET / HTTP/1.1 ", b"GET\t/ HTTP/1.1", b"GET /\tHTTP/1.1",
    b"GET / HTTP/1.1\t", b"GET / HTTP/1.2", b"GET / HTTP/1.9",
    b"GET / HTTP/0.9", b"GET / HTTP/2", b"GET / HTTP/2.0", b"GET / HTTP/3.0", b"GET / HTTP/11", b"GET / HTTP/1.",
    b"GET / HTTP/.1", b"GET / HTTP/1,1", b"GET / HTTP/01.1", b"GET / HTTP/1.01", b"GET / HTTP/1.1.1", b"GET / http/1.1",
    b"GET / Http/1.1", b"GET / HTTPS/1.1", b"GET / HTTP /1.1",
    b"GET / HTTP/ 1.1", b"GET / HTTP/1.1x", b"GET / RTSP/1.0",
    b"GET / RTSP/1.1", b"GET / ICE/1.0", b"SOURCE / ICE/1.0", b"GET / XHTTP/1.1", b"get / HTTP/1.1", b"Get / HTTP/1.1",
    b"GE T / HTTP/1.1", b"G\x00ET / HTTP/1.1", b"G\xc3\x89T / HTTP/1.1", b"(GET) / HTTP/1.1", b"GET: / HTTP/1.1",
    b"CONNECT a:443 HTTP/1.1", b"CONNECT / HTTP/1.1", b"TRACE / HTTP/1.1", b"TRACK / HTTP/1.1", b"DEBUG / HTTP/1.1",
    b"PRI * HTTP/2.0", b"DESCRIBE / HTTP/1.1", b"ANNOUNCE / HTTP/1.1", b"FLUSH / HTTP/1.1", b"M-SEARCH * HTTP/1.1",
    b"GET * HTTP/1.1", b"GET a HTTP/1.1", b"GET a:80 HTTP/1.1",
    b"GET ?x HTTP/1.1", b"GET #x HTTP/1.1", b"GET \\ HTTP/1.1",
    b"GET /\x00 HTTP/1.1", b"GET /\x01 HTTP/1.1", b"GET /\x0b HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /\x80 HTTP/1.1",
    b"GET http://b/ HTTP/1.1", b"GET https://b/ HTTP/1.1", b"GET https://a@b/ HTTP/1.1", b"GET https://b@a/ HTTP/1.1",
    b"GET https://a:1/ HTTP/1.1", b"GET https:///x HTTP/1.1", b"GET https:/a/ HTTP/1.1", b"GET https:a/ HTTP/1.1",
    b"GET //a/ HTTP/1.1", b"GET ///a HTTP/1.1",
    b"GET ftp://a/ HTTP/1.1", b"GET file:///etc HTTP/1.1", b"GET ws://a/ HTTP/1.1",
    b"GET https://a\\@b/ HTTP/1.1", b"GET https://a#@b/ HTTP/1.1",
    b"GET https://a?@b/ HTTP/1.1", b"GET javascript:1 HTTP/1.1",
]  # fmt: skip
_BAD_SIZES = [
    b"", b" 1", b"1 ", b"\t1", b"1\t", b"+1", b"-1", b"0x1",
    b"1h", b"1_0", b"1.0", b"g", b"1g", b'"1"', b"\xb2", b"1,1", b"1 1",
    b"1\x00", b"1\x0b", b"1;\x00", b"1;a\x00b", b"1;a=\x00", b'1;a="',
    b'1;a="b', b"1;a\x7f", b"1;", b"1 ;a", b"1;a\r", b"1;a\n",
    b"1\r", b"1\n", b"1\r\r", b"1:a", b"1=a", b"1/a", b"f" * 17, b"1" + b"0" * 16, b"8" + b"0" * 15 + b"1",
]  # fmt: skip
_BAD_ENDS = [
    b"x0\r\n\r\n", b"x\n0\r\n\r\n", b"x\r0\r\n\r\n",
    b"xx\r\n0\r\n\r\n", b"x\r\n\r\n0\r\n\r\n", b"x\r\n0\n\r\n", b"x\r\n0\r\n\n",
    b"x\r\n0\r\r\n", b"x\r\n0\r\nX\r\n\r\n",
    b"x\r\n0\r\nX: a\n\r\n", b"x\r\n0\r\n: a\r\n\r\n", b"x\r\n0\r\nX : a\r\n\r\n",
    b"x\r\n0\r\nX: a\x00\r\n\r\n", b"x\r\n0\r\n X: a\r\n\r\n", b"x\r\n0\r\nX: a\r\n b\r\n\r\n",
    b"x\r\n0\r\nContent-Length: 1\r\n\r\nx", b"x\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
]  # fmt: skip
_BAD_SEPARATORS = [
    b"\n",
    b"\r",
    b"\n\r",
    b"\r\r\n",
    b"\r\n ",
    b"\r\n\t",
    b"\x0b",
    b"\x0c",
    b"\x00",
    b"\r\n\x00",
]


def refused_framing() -> Iterator[tuple[str, bytes]]:
    """What two parsers could frame in two ways: 400 and the connection's end."""
    yield from HEADS.items()
    for value in _BAD_LENGTHS:
        for name in (b"Content-Length", b"content-length", b"CONTENT-LENGTH"):
            yield f"length {value!r}", POST + name + b": " + value + b"\r\n\r\nhello"
        yield (
            f"length {value!r} after a good one",
            POST + b"Content-Length: 5\r\nContent-Length: " + value + b"\r\n\r\nhello",
        )
        yield (
            f"length {value!r} with chunks",
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: " + value + b"\r\n\r\n0\r\n\r\n",
        )
    for value in _BAD_CODINGS:
        for name in (b"Transfer-Encoding", b"transfer-encoding"):
            yield f"coding {value!r}", POST + name + b": " + value + b"\r\n\r\n0\r\n\r\n"
        yield (
            f"coding {value!r} after a good one",
            POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n",
        )
        yield (
            f"coding {value!r} and a length",
            POST + b"Content-Length: 5\r\nTransfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n",
        )
        yield (
            f"coding {value!r} in 1.0",
            b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n",
        )
    for name in _BAD_NAMES:
        yield f"name {name!r}", POST + name + b": a\r\nContent-Length: 0\r\n\r\n"
        for framing in _FRAMING_NAMES:
            yield f"name {name!r} for {framing!r}", POST + name.replace(b"X", framing) + b": 5\r\n\r\n"
    for control in (*range(0x09), *range(0x0A, 0x20), 0x7F):
        yield f"value with {control:#x}", POST + b"X: a" + bytes([control]) + b"b\r\n\r\n"
        yield f"value beginning with {control:#x}", POST + b"X: " + bytes([control]) + b"\r\n\r\n"
        yield f"Host with {control:#x}", b"GET / HTTP/1.1\r\nHost: a" + bytes([control]) + b"\r\n\r\n"
    for separator in _BAD_SEPARATORS:
        yield f"separator {separator!r} after the line", b"GET / HTTP/1.1" + separator + b"Host: a\r\n\r\n"
        yield f"separator {separator!r} after a field", POST + b"X: a" + separator + b"Y: b\r\n\r\n"
        if separator.startswith(b"\r\n"):
            continue
        yield (
            f"separator {separator!r} at the end",
            POST + b"X: a\r\n" + separator + b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
        )
    for line in _BAD_LINES:
        if line:
            yield f"line {line!r}", line + b"\r\nHost: a\r\n\r\n"


def refused_bodies() -> Iterator[tuple[str, bytes]]:
    """Chunks that are none: the head may have passed, the end never does."""
    for name, body in BODIES.items():
        yield name, CHUNKED + body
    for size in _BAD_SIZES:
        yield f"size {size!r}", CHUNKED + size + b"\r\nx\r\n0\r\n\r\n"
        yield f"size {size!r} after a chunk", CHUNKED + b"3\r\nabc\r\n" + size + b"\r\nx\r\n0\r\n\r\n"
        if b";" not in size and (last := size.replace(b"1", b"0")).strip(b"0"):
            yield f"last size {size!r}", CHUNKED + b"1\r\nx\r\n" + last + b"\r\n\r\n"
    for end in _BAD_ENDS:
        yield f"end {end!r}", CHUNKED + b"1\r\n" + end


def refused_targets() -> Iterator[tuple[str, bytes]]:
    """Targets, Hosts and paths with two readings."""
    for name, (octets, _) in REQUESTS.items():
        yield name, octets
    for host in HOSTS:
        yield f"Host {host!r}", get(host=host)
        yield f"Host {host!r} in absolute form", b"GET https://" + host + b"/ HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
    for path in (*AMBIGUOUS, *MALFORMED):
        yield f"path {path!r}", get(path)
        yield f"path {path!r} with a query", get(path + b"?a=/../b")
        yield f"path {path!r} below another", get(b"/public" + path)
        yield f"path {path!r} in absolute form", get(b"https://a.example" + path)


def spellings(name: bytes) -> Iterator[bytes]:
    """A field's name as CGI and its kin confuse it."""
    yield from (name, name.lower(), name.upper(), name.title(), name.swapcase())
    if b"-" in name:
        yield from (
            name.replace(b"-", b"_"),
            name.replace(b"-", b"_", 1),
            name.replace(b"-", b"."),
            name.lower().replace(b"-", b"_"),
        )


def posing() -> list[bytes]:
    """Names that decide who somebody is, in every spelling."""
    return sorted({spelling for name in POSING for spelling in spellings(name)})


TAKEN = {
    "a plain GET": (get(b"/x?y=z"), 1),
    "HEAD": (get(b"/", method=b"HEAD"), 1),
    "a body": (POST + b"Content-Length: 5\r\n\r\nhello", 1),
    "an empty body": (POST + b"Content-Length: 0\r\n\r\n", 1),
    "a body on GET": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 1),
    "chunks": (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", 1),
    "chunks in capitals, with zeros and extensions": (CHUNKED + b'00A;a;b=c;d="e f"\r\n0123456789\r\n000;x\r\n\r\n', 1),
    "chunks and trailers": (CHUNKED + b"1\r\nx\r\n0\r\nX-Role: admin\r\nHost: b\r\n\r\n", 1),
    "Chunked": (POST + b"transfer-encoding:CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n", 1),
    "white space around values": (b"GET / HTTP/1.1\r\nHost:\t a \t\r\nX:\t \r\nY:  a  b \t\r\n\r\n", 1),
    "octets above ASCII in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\xff\x85Y: b\r\n\r\n", 1),
    "absolute form": (get(b"https://a.example/x?y"), 1),
    "absolute form in capitals": (get(b"HTTPS://A.EXAMPLE:443/x"), 1),
    "empty lines before": (b"\r\n\r\n" + get(), 1),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", 1),
    "a body in 1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 1),
    "pipelined": (
        get(b"/1") + POST + b"Content-Length: 2\r\n\r\nhi" + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + get(b"/4"),
        4,
    ),
    "a request in a body": (
        POST + b"Content-Length: 33\r\n\r\n" + b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n\r\n"[:33] + get(b"/2"),
        2,
    ),
    "a request in chunks": (
        CHUNKED + b"21\r\n" + b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n\r\n"[:33] + b"\r\n0\r\n\r\n" + get(),
        2,
    ),
    "Connection names what passes": (get(b"/", b"Connection: X-Secret, close", b"X-Secret: 1", b"X-Open: 2"), 1),
    "Expect": (POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", 1),
}
"""Requests, and how many of them reach the upstream."""
