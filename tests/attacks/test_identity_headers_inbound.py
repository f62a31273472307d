"""Claim: no field that a client sends can pose as one that we, a trusted proxy or a policy set."""

from ipaddress import ip_network

import pytest

from tests.edge import Edge, get
from tests.fakes import PEER
from ztproxy.edge.cleaning import Cleaning
from ztproxy.model import Connection, Reason

POSING = [
    b"X-Ztproxy-Assertion", b"x_ztproxy_assertion", b"X-Ztproxy_Subject", b"X-ZTPROXY", b"X-Forwarded-For",
    b"X_Forwarded_For", b"x-forwarded_for", b"X.Forwarded.For", b"X-Forwarded-Proto", b"X-Forwarded-Host",
    b"X-Forwarded-User", b"X-Forwarded-Uri", b"X-Forwarded-Client-Cert", b"Forwarded", b"X-Real-IP", b"X_Real_IP",
    b"Client-Cert", b"Client-Cert-Chain", b"client_cert", b"X-Request-Id", b"X_Request_ID", b"Remote-User",
    b"REMOTE_USER", b"X-Remote-User", b"X-Remote-Groups", b"X-Auth-Request-Email", b"X-Auth-Request-User",
    b"X-Client-Cert-Subject", b"X-SSL-Client-Verify", b"SSL-Client-Cert", b"X-Original-URL", b"X-Original-Uri",
    b"X-Rewrite-URL", b"X-HTTP-Method-Override", b"X-Method-Override", b"True-Client-IP", b"X-Client-IP", b"X-Host",
    b"Impersonate-User", b"X-Goog-Authenticated-User-Email", b"X-Amzn-Oidc-Data", b"Cf-Access-Jwt-Assertion",
    b"X-Middleware-Subrequest", b"X-WebAuth-User", b"OIDC-Claim-Sub", b"X-Role", b"X_Role", b"x-ROLE", b"X.Role",
    b"Proxy", b"Proxy-Authorization", b"Proxy-Connection", b"Any_Name", b"Keep-Alive", b"TE", b"Trailer",
]  # fmt: skip


@pytest.mark.parametrize("name", POSING)
async def test_every_spelling_is_dropped(name):
    edge = Edge(cleaning=Cleaning.of(set_by_policy=["X-Role"]))
    answer = edge.send(get(b"/", name + b": admin", name + b": other", b"Accept: a"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert edge.arrived[0].fields == ((b"accept", b"a"),)
    assert edge.arrived[0].source == "192.0.2.7"
    assert edge.arrived[0].scheme == "https"


async def test_naming_ours_in_connection_changes_nothing():
    edge = Edge()
    edge.send(
        get(b"/", b"Connection: X-Ztproxy-Assertion, X-Forwarded-For, Host, X-Request-Id", b"X-Forwarded-For: 1.1.1.1")
    )
    assert edge.arrived[0].source == "192.0.2.7"
    assert edge.arrived[0].host == "a.example"


async def test_the_request_id_is_ours():
    edge = Edge()
    answer = edge.send(get(b"/", b"X-Request-Id: mine"))
    assert b"mine" not in answer
    assert f"X-Request-Id: {edge.arrived[0].request_id}\r\n".encode() in answer


async def test_two_requests_never_share_an_id():
    edge = Edge()
    edge.send(get() * 600)
    assert len({arrived.request_id for arrived in edge.arrived}) == 600


async def test_credentials_are_kept_apart():
    edge = Edge()
    edge.send(get(b"/", b"Authorization: Bearer a", b"AUTHORIZATION: Basic b", b"Cookie: c=d"))
    assert edge.arrived[0].unverified_authorization == (b"Bearer a", b"Basic b")
    assert edge.arrived[0].fields == ((b"cookie", b"c=d"),)


PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def behind(peer: str) -> Edge:
    return Edge(connection=Connection("l", "https", peer, 1, 8443), trusted_proxies=PROXIES)


@pytest.mark.parametrize(
    ("peer", "lines", "source"),
    [
        ("10.0.0.1", [b"203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", [b"1.1.1.1, 203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", [b"not an address, 203.0.113.5, 10.1.2.3"], "203.0.113.5"),
        ("10.0.0.1", [b"1.1.1.1", b"203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", [b"10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        ("10.0.0.1", [b"[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", [b"2001:DB8:0::1"], "2001:db8::1"),
        ("10.0.0.1", [b"203.0.113.5:1234"], "203.0.113.5"),
        ("10.0.0.1", [b"::ffff:203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", [b"1.1.1.1, ::ffff:10.0.0.2"], "1.1.1.1"),
        ("::ffff:10.0.0.1", [b"203.0.113.5"], "203.0.113.5"),
        ("fd00::1", [b"203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("192.0.2.7", [b"203.0.113.5"], "192.0.2.7"),
        ("192.0.2.7", [b"garbage"], "192.0.2.7"),
        ("::ffff:192.0.2.7", [b"203.0.113.5"], "192.0.2.7"),
        ("", [b"203.0.113.5"], ""),
    ],
)
async def test_the_source_is_the_rightmost_that_is_not_trusted(peer, lines, source):
    edge = behind(peer)
    edge.send(get(b"/", *[b"X-Forwarded-For: " + line for line in lines]))
    assert edge.arrived[0].source == source
    assert not edge.arrived[0].fields


@pytest.mark.parametrize(
    "value", [b"", b"unknown", b"1.1.1.1,", b"1.1.1.1 2.2.2.2", b"010.0.0.1", b"_hidden", b"1.2.3"]
)
async def test_a_malformed_address_of_a_trusted_proxy_is_refused(value):
    edge = behind("10.0.0.1")
    assert edge.send(get(b"/", b"X-Forwarded-For: " + value)).startswith(b"HTTP/1.1 400 ")
    assert edge.told.refusal.reason is Reason.REQUEST_MALFORMED


async def test_the_scheme_is_believed_from_a_trusted_proxy_only():
    plain = Connection("l", "http", "10.0.0.1", 1, 8080)
    edge = Edge(connection=plain, trusted_proxies=PROXIES)
    edge.send(get(b"/", b"X-Forwarded-Proto: https"))
    assert (edge.arrived[0].scheme, edge.arrived[0].port, edge.arrived[0].authority) == ("https", 443, b"a.example")
    edge = Edge(connection=plain)
    edge.send(get(b"/", b"X-Forwarded-Proto: https"))
    assert (edge.arrived[0].scheme, edge.arrived[0].port) == ("http", 80)


@pytest.mark.parametrize("lines", [[b"ftp"], [b"https, http"], [b"https", b"https"], [b""]])
async def test_a_malformed_scheme_of_a_trusted_proxy_is_refused(lines):
    edge = behind("10.0.0.1")
    assert edge.send(get(b"/", *[b"X-Forwarded-Proto: " + line for line in lines])).startswith(b"HTTP/1.1 400 ")


async def test_the_next_request_on_a_connection_has_its_own_fields():
    edge = Edge()
    edge.send(get(b"/", b"Authorization: Bearer a", b"X: 1", b"Content-Length: 1", method=b"POST") + b"x")
    edge.send(get(b"/", b"Authorization: Bearer b", b"X: 1"))
    edge.send(get(b"/", b"Authorization: Bearer b", b"X: 1", host=b"b.example"))
    edge.send(get(b"/", b"Connection: close", b"X: 1"))
    assert [(a.host, a.unverified_authorization, a.content_length) for a in edge.arrived] == [
        ("a.example", (b"Bearer a",), 1),
        ("a.example", (b"Bearer b",), 0),
        ("b.example", (b"Bearer b",), 0),
        ("a.example", (), 0),
    ]
    assert edge.wire.closed


async def test_fields_repeated_under_another_version_are_read_anew():
    edge = Edge()
    fields = b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    edge.send(b"POST / HTTP/1.1\r\n" + fields)
    assert edge.send(b"POST / HTTP/1.0\r\n" + fields).startswith(b"HTTP/1.1 400 ")


async def test_one_clients_fields_are_never_anothers():
    edge = Edge()
    edge.send(get(b"/", b"Authorization: Bearer a", b"X: 1"))
    first = edge.arrived[0]
    edge.connect()
    edge.send(get())
    assert edge.arrived[1].fields == () == edge.arrived[1].unverified_authorization
    assert first.fields == ((b"x", b"1"),)
    assert PEER.peer == "192.0.2.7"
