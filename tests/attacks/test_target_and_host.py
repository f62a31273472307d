"""Claim: who is addressed can be read in one way only, and is whom the TLS handshake was held with."""

import pytest

from tests.edge import Edge, get
from tests.fakes import PEER
from ztproxy.model import Connection, Reason, Tls

MALFORMED, AMBIGUOUS = Reason.REQUEST_MALFORMED, Reason.REQUEST_AMBIGUOUS

REQUESTS = {
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", MALFORMED),
    "no Host in 1.0": (b"GET / HTTP/1.0\r\n\r\n", MALFORMED),
    "two Hosts": (get(b"/", b"Host: b.example"), AMBIGUOUS),
    "two equal Hosts": (get(b"/", b"host: a.example"), AMBIGUOUS),
    "CONNECT": (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", MALFORMED),
    "TRACE": (get(method=b"TRACE"), MALFORMED),
    "unknown method": (get(method=b"FROB"), MALFORMED),
    "lower-case method": (get(method=b"get"), MALFORMED),
    "asterisk": (get(b"*"), MALFORMED),
    "two asterisks": (get(b"**", method=b"OPTIONS"), MALFORMED),
    "asterisk and a query": (get(b"*?x", method=b"OPTIONS"), MALFORMED),
    "no leading slash": (get(b"admin"), MALFORMED),
    "another host": (get(b"https://b.example/"), AMBIGUOUS),
    "another port": (get(b"https://a.example:8443/"), AMBIGUOUS),
    "another scheme": (get(b"http://a.example/"), AMBIGUOUS),
    "ftp": (get(b"ftp://a.example/"), MALFORMED),
    "user-info": (get(b"https://x@a.example/"), MALFORMED),
    "no path": (get(b"https://a.example"), MALFORMED),
    "two slashes": (get(b"//b.example/"), AMBIGUOUS),
    "fragment": (get(b"/#x"), MALFORMED),
    "fragment after query": (get(b"/?a#x"), MALFORMED),
    "octet beyond ASCII in the query": (get(b"/?\xe9"), MALFORMED),
    "control in the query": (get(b"/?\x01"), MALFORMED),
    "bad escape in the query": (get(b"/?%zz"), MALFORMED),
    "cut escape in the query": (get(b"/?a=%4"), MALFORMED),
    "query that is not UTF-8": (get(b"/?%e9"), AMBIGUOUS),
    "h2c": (get(b"/", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), MALFORMED),
    "h2c without Connection": (get(b"/", b"Upgrade: h2c"), MALFORMED),
    "h2c with a body": (
        get(b"/", b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 3", method=b"POST") + b"abc",
        MALFORMED,
    ),
    "another Expect": (get(b"/", b"Expect: 200-ok", b"Content-Length: 1", method=b"POST"), MALFORMED),
    "a Connection that is no list of names": (get(b"/", b"Connection: a b"), MALFORMED),
}


@pytest.mark.parametrize(("octets", "reason"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_is_refused_and_the_connection_closed(octets, reason):
    edge = Edge()
    answer = edge.send(octets + get(b"/smuggled"))
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 417 "))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert edge.told.refusal.reason is reason
    assert edge.wire.closed
    assert not edge.arrived


HOSTS = {
    b"": MALFORMED, b"a,b": MALFORMED, b"a b": MALFORMED, b"u@a": MALFORMED, b"a/b": MALFORMED, b"a\\b": MALFORMED,
    b"a?b": MALFORMED, b"a#b": MALFORMED, b"a%2eb": MALFORMED, b"\xe9.example": MALFORMED, b"a:": MALFORMED,
    b"a:0": MALFORMED, b"a:080": MALFORMED, b"a:65536": MALFORMED, b"a:80:80": MALFORMED, b"a:x": MALFORMED,
    b"a:+80": MALFORMED, b"-a.example": MALFORMED, b"a..b": MALFORMED, b".a": MALFORMED, b"a.example.": AMBIGUOUS,
    b"[::1": MALFORMED, b"::1": MALFORMED, b"[::1%25eth0]": MALFORMED, b"[1]": MALFORMED, b"[::1]x": MALFORMED,
    b"127.1": AMBIGUOUS, b"0177.0.0.1": AMBIGUOUS, b"0x7f.0.0.1": AMBIGUOUS, b"2130706433": AMBIGUOUS,
    b"0x7f000001": AMBIGUOUS, b"1.2.3.4.5": AMBIGUOUS, b"1.2.3.256": AMBIGUOUS, b"a" * 64: MALFORMED,
    b".".join([b"a" * 60] * 5): MALFORMED, b"http://a": MALFORMED, b'"a"': MALFORMED,
}  # fmt: skip


@pytest.mark.parametrize(("host", "reason"), HOSTS.items())
async def test_hosts_with_two_readings_are_refused(host, reason):
    edge = Edge()
    assert edge.send(get(host=host)).startswith(b"HTTP/1.1 400 ")
    assert edge.told.refusal.reason is reason
    assert edge.wire.closed


def over_tls(server_name: str | None) -> Connection:
    return Connection("l", "https", "192.0.2.7", 1, 8443, Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256", server_name))


@pytest.mark.parametrize("host", [b"b.example", b"a.example.b", b"127.0.0.1", b"[::1]", b"sub.a.example"])
async def test_a_host_that_differs_from_sni_is_misdirected(host):
    edge = Edge(connection=over_tls("a.example"))
    assert edge.send(get(host=host)).startswith(b"HTTP/1.1 421 ")
    assert edge.told.refusal.reason is Reason.MISDIRECTED_REQUEST
    assert not edge.arrived


@pytest.mark.parametrize("host", [b"a.example", b"A.EXAMPLE", b"a.example:9443"])
async def test_sni_speaks_for_the_name_and_no_port(host):
    assert Edge(connection=over_tls("a.example")).send(get(host=host)).startswith(b"HTTP/1.1 200 ")


async def test_without_sni_any_host_is_asked():
    assert Edge(connection=over_tls(None)).send(get(host=b"b.example")).startswith(b"HTTP/1.1 200 ")


async def test_a_misdirected_request_leaves_the_connection_in_step():
    edge = Edge(connection=over_tls("a.example"))
    answer = edge.send(get(host=b"b.example") + get(b"/x"))
    assert answer.count(b"HTTP/1.1 421 ") == answer.count(b"HTTP/1.1 200 ") == 1
    assert [arrived.path for arrived in edge.arrived] == ["/x"]


@pytest.mark.parametrize("host", [b"a.example", b"b.example"])
async def test_options_of_the_whole_server_reaches_no_route(host):
    edge = Edge()
    answer = edge.send(get(b"*", b"Content-Length: 2", host=host, method=b"OPTIONS") + b"ab" + get(b"/next"))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert edge.told.all[0].outcome.refusal.reason is Reason.ROUTE_NOT_FOUND
    assert [arrived.path for arrived in edge.arrived] == ["/next"]


ONCE = [
    b"Content-Type: text/plain", b"content-type: text/plain", b"Origin: https://a", b"Range: bytes=0-1", b"Referer: /",
    b"Sec-WebSocket-Key: a", b"If-Range: x", b"Content-Range: bytes 0-1/2", b"Access-Control-Request-Method: PUT",
]  # fmt: skip


@pytest.mark.parametrize("line", ONCE)
@pytest.mark.parametrize("between", [b"X: y", b"X-Long: " + b"y" * 2000])
async def test_a_field_with_one_meaning_stands_once(line, between):
    edge = Edge()
    answer = edge.send(get(b"/", line, between, line.split(b":")[0].upper() + b": other"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert edge.told.refusal.reason is Reason.REQUEST_AMBIGUOUS
    assert edge.wire.closed
    assert not edge.arrived
    edge.connect()
    assert edge.send(get(b"/", line)).startswith(b"HTTP/1.1 200 ")


async def test_a_field_that_is_a_list_may_be_split():
    edge = Edge()
    edge.send(get(b"/", b"Accept: a", b"Cookie: b", b"Accept: c", b"Cookie: d", b"X-Own: e", b"X-Own: f"))
    assert len(edge.arrived[0].fields) == 6


async def test_the_memory_of_hosts_does_not_remember_for_another_name():
    edge = Edge(connection=over_tls("a.example"))
    edge.send(get())
    edge.connection = over_tls("b.example")
    edge.connect()
    assert edge.send(get()).startswith(b"HTTP/1.1 421 ")
    assert PEER.tls is None
