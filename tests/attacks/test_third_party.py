"""Claim: what others test of HTTP/1.1 parsers is answered here as strictly as by them, or more so.

The cases are our own; what they cover is after llhttp's test/request (connection, content-length, invalid, method,
pipelining, transfer-encoding, uri; https://github.com/nodejs/llhttp) and h1spec (https://github.com/uNetworking/h1spec).
"""

# ruff: noqa: E501 - a table, one case a line

import re

import pytest

from tests.edge import Edge

HOST = b"\r\nHost: a.example\r\n"
PUT = b"PUT /url HTTP/1.1" + HOST
CHUNKED = PUT + b"Transfer-Encoding: chunked\r\n\r\n"
WS = b"Upgrade: websocket\r\nSec-WebSocket-Key: aGVsbG8gd29ybGQgMTIzNA==\r\nSec-WebSocket-Version: 13\r\n"

LLHTTP: dict[str, tuple[bytes, list[int]]] = {
    # method
    "methods": (b"".join(m + b" / HTTP/1.1" + HOST + b"\r\n" for m in (b"REPORT", b"M-SEARCH")), [200, 400]),
    "methods of WebDAV": (b"".join(m + b" /x HTTP/1.1" + HOST + b"\r\n" for m in (b"PROPFIND", b"MKCOL", b"LOCK")), [200] * 3),
    "CONNECT": (b"CONNECT example.org:443 HTTP/1.1" + HOST + b"\r\nsome data", [400]),
    "CONNECT with caps": (b"CONNECT HOME0.example:443 HTTP/1.0" + HOST + b"\r\n", [400]),
    "a method that goes on": (b"MKCOLA / HTTP/1.1" + HOST + b"\r\n", [400]),
    "SOURCE of ICE": (b"SOURCE /music ICE/1.0" + HOST + b"\r\n", [400]),
    "OPTIONS of RTSP": (b"OPTIONS /music RTSP/1.0" + HOST + b"\r\n", [400]),
    "ANNOUNCE of RTSP": (b"ANNOUNCE /music RTSP/1.0" + HOST + b"\r\n", [400]),
    "ANNOUNCE in HTTP": (b"ANNOUNCE /music HTTP/1.0" + HOST + b"\r\n", [400]),
    "GET in ICE": (b"GET /music ICE/1.0" + HOST + b"\r\n", [400]),
    "almost HTTP": (b"GET /music IHTTP/1.0" + HOST + b"\r\n", [400]),
    "PUT in RTSP": (b"PUT /music RTSP/1.0" + HOST + b"\r\n", [400]),
    "the preface of HTTP/2": (b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", [400]),
    "QUERY": (b"QUERY /contacts HTTP/1.1" + HOST + b"Content-Length: 2\r\n\r\nhi", [200]),
    # uri
    "quotes in the query": (b'GET /with_"stupid"_quotes?foo="bar" HTTP/1.1' + HOST + b"\r\n", [400]),
    "quotes in the query alone": (b'GET /quotes?foo="bar" HTTP/1.1' + HOST + b"\r\n", [200]),
    "a question mark in the query": (b"GET /test.cgi?foo=bar?baz HTTP/1.1" + HOST + b"\r\n", [200]),
    "a host and no path": (b"GET http://a.example?hail=all HTTP/1.1" + HOST + b"\r\n", [400]),
    "a host with a port and no path": (b"GET http://a.example:1234 HTTP/1.1" + HOST + b"\r\n", [400]),
    "UTF-8 in the path": (b"GET /\xce\xb4\xc2\xb6/\xce\xb4t/pope?q=1 HTTP/1.1" + HOST + b"\r\n", [400]),
    "an underscore in the host": (b"GET / HTTP/1.1\r\nHost: under_score.example\r\n\r\n", [200]),
    "user-info": (b"GET https://a%12:b!&*$@a.example/ HTTP/1.1" + HOST + b"\r\n", [400]),
    "a space in the target": (b"GET /foo bar/ HTTP/1.1" + HOST + b"\r\n", [400]),
    "a fragment": (b"GET /forums/1/topics/2375?page=1#posts-17408 HTTP/1.1" + HOST + b"\r\n", [400]),
    "CR in the target": (b"GET /foo\rbar/ HTTP/1.1" + HOST + b"\r\n", [400]),
    "LF in the target": (b"GET /foo\nbar/ HTTP/1.1" + HOST + b"\r\n", [400]),
    # connection
    "keep-alive": (PUT + b"Connection: keep-alive\r\n\r\n" + PUT + b"\r\n", [200, 200]),
    "keep-alive in 1.0": (b"PUT /url HTTP/1.0" + HOST + b"Connection: keep-alive\r\n\r\n" + PUT + b"\r\n", [200]),
    "none in 1.0": (b"PUT /url HTTP/1.0" + HOST + b"\r\n" + PUT + b"\r\n", [200]),
    "close": (PUT + b"Connection: close\r\n\r\n" + PUT + b"\r\n", [200]),
    "close and a tab": (PUT + b"Connection: close\t\r\n\r\n" + PUT + b"\r\n", [200]),
    "close among others": (PUT + b"Connection: close, token, upgrade, token, keep-alive\r\n\r\n" + PUT + b"\r\n", [200]),
    "an empty line between": (PUT + b"Content-Length: 4\r\n\r\nq=42\r\n" + PUT + b"\r\n", [200, 200]),
    "an empty line after close": (PUT + b"Connection: close\r\nContent-Length: 4\r\n\r\nq=42\r\n" + PUT, [200]),
    "CR for a dash in keep-alive": (PUT + b"Connection: keep\ralive\r\n\r\n", [400]),
    "white space in the name": (PUT + b"Connection\r\n : upgrade\r\n\r\n", [400]),
    "a space after the name": (PUT + b"Connection : upgrade\r\n\r\n", [400]),
    "options in folded lines": (PUT + b"Connection: Something,\r\n Upgrade, ,Keep-Alive\r\n" + WS + b"\r\n", [400]),
    "an upgrade with PUT": (PUT + b"Connection: upgrade\r\n" + WS + b"\r\n", [400]),
    "an upgrade with a body": (PUT + b"Connection: upgrade\r\nContent-Length: 4\r\nUpgrade: ws\r\n\r\nabcdefgh", [400]),
    "the old WebSocket": (b"GET /demo HTTP/1.1" + HOST + b"Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nHot diggity", [400]),
    "an upgrade with nothing to upgrade to": (PUT + b"Connection: upgrade\r\n\r\n", [200]),
    # content-length
    "zeros before the length": (PUT + b"Content-Length: 003\r\n\r\nabc", [400]),
    "a length that overflows": (PUT + b"Content-Length: 1000000000000000000000\r\n\r\n", [400]),
    "two lengths": (PUT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na", [400]),
    "a length and identity": (PUT + b"Content-Length: 1\r\nTransfer-Encoding: identity\r\n\r\na", [400]),
    "a space after Content-Length": (PUT + b"Content-Length : 4\r\n\r\nabcd", [400]),
    "an odd spelling of Content-Length": (b"GET /x HTTP/1.0" + HOST + b"conTENT-Length: 5\r\n\r\nHELLO", [200]),
    "spaces around the length": (PUT + b"Content-Length:  2 \r\n\r\nab", [200]),
    "tabs around the length": (PUT + b"Content-Length:\t2\t \r\n\r\nab", [200]),
    "a space in the length": (PUT + b"Content-Length: 4 2\r\n\r\n", [400]),
    "a comma in the length": (PUT + b"Content-Length: 13, 37\r\n\r\n", [400]),
    "an empty length": (PUT + b"Content-Length:\r\n\r\n", [400]),
    "CR for a dash in Content-Length": (PUT + b"Content\rLength: 3\r\n\r\nabc", [400]),
    "a body that begins in the head": (PUT + b"Content-Length: 3\r\n\rabc", [400]),
    # transfer-encoding
    "sizes in capitals": (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", [200]),
    "three zeros at the end": (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", [200]),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nVary: *\r\nX-Type: text/plain\r\n\r\n", [200]),
    "extensions": (CHUNKED + b"5;ilovew3;somuchlove=aretheseparametersfor\r\nhello\r\n6;blahblah;blah\r\n world\r\n0\r\n\r\n", [200]),
    "quoted extensions": (CHUNKED + b'5;ilovew3="I \\"love\\"; \\\\extensions\\\\";blah;foo=bar\r\nhello\r\n0\r\n\r\n', [200]),
    "no semicolon before the extension": (CHUNKED + b"2 erfrferferf\r\naa\r\n0 rrrr\r\n\r\n", [400]),
    "no extension after the semicolon": (CHUNKED + b"2;\r\naa\r\n0\r\n\r\n", [400]),
    "a quote that does not end": (CHUNKED + b'5;ilovew3="abc";somuchlove="def; ghi\r\nhello\r\n0\r\n\r\n', [400]),
    "pigeons": (PUT + b"Transfer-Encoding: pigeons\r\n\r\n", [400]),
    "identity and a length": (PUT + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nWorld", [400]),
    "many empty codings": (PUT + b"Content-Length: 10\r\nTransfer-Encoding:\r\nTransfer-Encoding:\r\n\r\n2\r\nAA\r\n0\r\n", [400]),
    "chunked before deflate": (PUT + b"Transfer-Encoding: chunked, deflate\r\n\r\nWorld", [400]),
    "chunked, then deflate": (PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: deflate\r\n\r\nWorld", [400]),
    "deflate before chunked": (PUT + b"Transfer-Encoding: deflate, chunked\r\n\r\n5\r\nWorld\r\n0\r\n\r\n", [400]),
    "deflate, then chunked": (PUT + b"Transfer-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    "chunkedchunked": (PUT + b"Transfer-Encoding: chunkedchunked\r\n\r\n5\r\nWorld\r\n0\r\n\r\n", [400]),
    "no last chunk": (CHUNKED + b"3\r\nfoo\r\n\r\n", [400]),
    "LF in a chunk's parameters": (CHUNKED + b"3 \n  \r\nfoo\r\n\r\n", [400]),
    "a fold after chunked": (PUT + b"Transfer-Encoding: chunked\r\n abc\r\n\r\n5\r\nWorld\r\n0\r\n\r\n", [400]),
    "two CRs after a size": (CHUNKED + b"5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n", [400]),
    # invalid
    "fields parted by CR": (b"GET / HTTP/1.1\r\nFoo: 1\rBar: 2\r\n\r\n", [400]),
    "fields parted by LF": (b"POST / HTTP/1.1\r\nHost: a.example:5000\r\nx:x\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n", [400]),
    "fields parted by CR and an octet": (b"GET / HTTP/1.1\r\nHost: a.example\r\n\rZGET /evil: HTTP/1.1\r\nHost: b\r\n\r\n", [400]),
    "an empty field that CR ends": (b"POST / HTTP/1.1" + HOST + b"Connection: Close\r\nX:\rContent-Length: 1\r\n\r\n", [400]),
    "an empty field that LF ends": (b"POST / HTTP/1.1" + HOST + b"x:\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n", [400]),
    "a name with an octet above ASCII": (b"GET / HTTP/1.1" + HOST + b"Fo\xf3: Failure\r\n\r\n", [400]),
    "a name with @": (b"GET / HTTP/1.1" + HOST + b"Foo@: Failure\r\n\r\n", [400]),
    "a name with a control": (b"GET / HTTP/1.1" + HOST + b"Foo\x01\test: Bar\r\n\r\n", [400]),
    "a line without a name": (b"GET / HTTP/1.1" + HOST + b": Bar\r\n\r\n", [400]),
    "a folded name": (b"GET / HTTP/1.1" + HOST + b"name\r\n : value\r\n\r\n", [400]),
    "a corrupted Connection": (b"GET / HTTP/1.1" + HOST + b"Connection\r\x1b\x65: close\r\n\r\n", [400]),
    "no CR between fields": (b"GET / HTTP/1.1" + HOST + b"Dummy: x\nContent-Length: 23\r\n\r\nGET / HTTP/1.1\r\nD: y\r\n\r\n", [400]),
    "version 5.6": (b"GET / HTTP/5.6" + HOST + b"\r\n", [400]),
    "a space after the request line": (b"GET / HTTP/1.1\r\n Host: foo\r\n\r\n", [400]),
    "nothing but LF": (b"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\nA\n0\n\n", [400]),
    "spaces before fields": (b"POST /hello HTTP/1.1" + HOST + b"Foo: bar\r\n Content-Length: 38\r\n\r\nGET /bye HTTP/1.1\r\n\r\n", [400]),
    "a colon in the value": (b"GET / HTTP/1.1" + HOST + b"X: a:b: c\r\n\r\n", [200]),
    # pipelining, pausing, finish, sample
    "several events": (
        b"POST /aaa HTTP/1.1" + HOST + b"Content-Length: 3\r\n\r\nAAA"
        b"PUT /bbb HTTP/1.1" + HOST + b"Content-Length: 4\r\n\r\nBBBB"
        b"PATCH /ccc HTTP/1.1" + HOST + b"Content-Length: 5\r\n\r\nCCCC\n",
        [200, 200, 200],
    ),
    "no fields": (b"GET /no_headers HTTP/1.1\r\n\r\n", [400]),
    "Host alone in 1.0": (b"GET / HTTP/1.0" + HOST + b"\r\n", [200]),
    "empty lines before": (b"\r\n\r\nGET /x HTTP/1.1" + HOST + b"\r\n", [200]),
    "an empty value": (b"GET / HTTP/1.1" + HOST + b"Field:\r\n\r\n", [200]),
    "spaces before and after a value": (b"GET / HTTP/1.1" + HOST + b"Field:    \t value \t \r\n\r\n", [200]),
}  # fmt: skip
FRAGMENT = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
H1SPEC: dict[str, tuple[bytes, list[int]]] = {
    **{f"the first {at} octets of a request": (FRAGMENT[:at], []) for at in range(len(FRAGMENT))},
    "no version": (b"GET / \r\n\r\n", [400]),
    "Expect without a body": (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", [200]),
    "Expect with a body": (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", [100]),
    "odd but right": (b"GET / HTTP/1.1\r\nhoSt:\ta\r\nempty:\r\n\r\n", [200]),
    "brackets in a name": (b"GET / HTTP/1.1\r\nHost: a\r\nX-Invalid[]: test\r\n\r\n", [400]),
    "no Host": (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", [400]),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", [400]),
    "a large negative length": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -123456789123456789123\r\n\r\n", [400]),
    "a negative length": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1234\r\n\r\n", [400]),
    "letters for a length": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n", [400]),
    "an empty value": (b"GET / HTTP/1.1\r\nHost: a\r\nX-Empty-Header: \r\n\r\n", [200]),
    "BEL in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX-Bad-Control-Char: test\x07\r\n\r\n", [400]),
    "version 9.9": (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", [400]),
    "words before the method": (b"Extra lineGET / HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "CR before a field": (b"GET / HTTP/1.1\r\nHost: a\r\n\rSome-Header: Test\r\n\r\n", [400]),
    "a body": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", [200]),
    "chunks and a length": (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", [400]),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "statuses"), [*LLHTTP.values(), *H1SPEC.values()], ids=[*LLHTTP, *H1SPEC])
@pytest.mark.parametrize("step", [100_000, 5, 1])
async def test_is_answered_as_it_should_be(octets, statuses, step):
    edge = Edge()
    answer = b"".join(edge.send(octets[at : at + step]) for at in range(0, len(octets), step))
    assert [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)] == statuses
    assert edge.wire.closed or 400 not in statuses
    assert not any(server.ended for server in edge.forward.servers[statuses.count(200) :])
