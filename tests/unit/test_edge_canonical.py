"""The canonical request: what each part of a well-formed request becomes, and that nothing else gets through."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import PEER
from ztproxy.config.believed import fold
from ztproxy.edge import forwarded
from ztproxy.edge.authority import read_authority
from ztproxy.edge.canonical import arrive, read_line
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.field_section import read_fields
from ztproxy.edge.forwarded import Peer
from ztproxy.edge.parsed import Line, Moment, Origin
from ztproxy.edge.reading import Reading
from ztproxy.edge.remembered import Remembered
from ztproxy.edge.target import read_path, read_target
from ztproxy.model import Arrived, Reason, Refusal

MOMENT = Moment("0" * 32, 1.0, 2.0)
ORIGIN = Origin(PEER, Peer("192.0.2.7", trusted=False))


def read(target=b"/", fields=((b"Host", b"a.example"),), method=b"GET", version="HTTP/1.1", cleaning=None):
    reading = Reading.of(cleaning or Cleaning.of())
    section = read_fields(list(fields), version, reading.cleaning.verdicts)
    line = Line(method, target, version)
    return (
        section if isinstance(section, Refusal) else read_line(line) or arrive(line, section, MOMENT, ORIGIN, reading)
    )


def test_a_request_becomes_arrived():
    arrived = read(
        b"/api/caf%C3%A9/?q=1&r=%20",
        [(b"HOST", b"A.Example:8443"), (b"Accept", b" text/html\t"), (b"Authorization", b"Bearer x")],
    )
    assert isinstance(arrived, Arrived)
    assert (arrived.host, arrived.port, arrived.authority) == ("a.example", 8443, b"a.example:8443")
    assert (arrived.path, arrived.segments) == ("/api/caf%C3%A9/", ("api", "café", ""))
    assert (arrived.query, arrived.has_query) == ("q=1&r=%20", True)
    assert arrived.fields == ((b"accept", b"text/html"),)
    assert arrived.unverified_authorization == (b"Bearer x",)
    assert (arrived.request_id, arrived.wall, arrived.monotonic) == MOMENT_PARTS
    assert (arrived.content_length, arrived.upgrade, arrived.source, arrived.scheme) == (0, None, "192.0.2.7", "https")


MOMENT_PARTS = ("0" * 32, 1.0, 2.0)


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        (b"/", ()),
        (b"/api/x", ("api", "x")),
        (b"/api/", ("api", "")),
        (b"/a%20b", ("a b",)),
        (b"/user/a%40b.example", ("user", "a@b.example")),
        (b"/100%25", ("100%",)),
        (b"/...", ("...",)),
        (b"/.well-known/x", (".well-known", "x")),
        (b"/%E2%82%AC", ("€",)),
        (b"/v1/x:delete", ("v1", "x:delete")),
    ],
)
def test_a_path_has_segments(path, segments):
    assert read_path(path).segments == segments


@pytest.mark.parametrize(
    ("raw", "host", "port"),
    [
        (b"a.example", "a.example", None),
        (b"A.EXAMPLE:80", "a.example", 80),
        (b"192.0.2.1:65535", "192.0.2.1", 65535),
        (b"[::1]:8443", "::1", 8443),
        (b"[0:0:0:0:0:0:0:1]", "::1", None),
        (b"my_service", "my_service", None),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example", None),
    ],
)
def test_a_host_is_read(raw, host, port):
    authority = read_authority(raw)
    assert (authority.host, authority.port) == (host, port)


@pytest.mark.parametrize(
    ("host", "written"),
    [(b"A.example:443", b"a.example"), (b"[::1]:8443", b"[::1]:8443"), (b"[::1]", b"[::1]"), (b"a:80", b"a:80")],
)
def test_the_authority_is_written_in_one_way(host, written):
    assert read(fields=[(b"Host", host)]).authority == written


def test_absolute_form_that_agrees_with_host_is_the_same_request():
    arrived = read(b"HTTPS://A.example:443/x?y")
    assert (arrived.path, arrived.query, arrived.host) == ("/x", "y", "a.example")


@pytest.mark.parametrize("query", [b"", b"a=b&c", b"a[]=1", b'{"x":1}', b"q=caf%c3%a9", b"a?b/c", b"%0A"])
def test_a_query_is_kept_as_received(query):
    arrived = read(b"/?" + query)
    assert (arrived.query.encode(), arrived.has_query) == (query, True)


def test_values_beyond_ascii_pass():
    assert (b"x", b"\xe9\xff") in read(fields=[(b"Host", b"a"), (b"X", b"\xe9\xff")]).fields


HANDSHAKE = [
    (b"Host", b"a"),
    (b"Connection", b"keep-alive, Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
]


def test_a_websocket_handshake_is_told():
    arrived = read(fields=HANDSHAKE)
    assert arrived.upgrade == "websocket"
    assert [name for name, _ in arrived.fields] == [b"sec-websocket-key", b"sec-websocket-version"]


@pytest.mark.parametrize(
    "change",
    [
        {"method": b"POST"},
        {"fields": HANDSHAKE[:3]},
        {"fields": [*HANDSHAKE, (b"Content-Length", b"1")]},
        {"fields": [field for field in HANDSHAKE if field[0] != b"Connection"]},
        {"fields": HANDSHAKE, "version": "HTTP/1.0"},
        {"fields": [*HANDSHAKE, (b"Upgrade", b"h2c")]},
    ],
)
def test_half_a_websocket_handshake_is_refused(change):
    assert read(**{"fields": HANDSHAKE, **change}).reason is Reason.REQUEST_MALFORMED


def test_connection_takes_away_what_it_names():
    raw = [(b"Host", b"a"), (b"Connection", b"X-Hop, close"), (b"X-Hop", b"1"), (b"X-End", b"2"), (b"TE", b"trailers")]
    assert read(fields=raw).fields == ((b"x-end", b"2"),)


def test_connection_cannot_take_away_what_we_read_ourselves():
    raw = [(b"Host", b"a"), (b"Content-Length", b"3"), (b"Authorization", b"Bearer x")]
    arrived = read(fields=[*raw, (b"Connection", b"host, content-length, authorization")], method=b"POST")
    assert (arrived.host, arrived.content_length, arrived.unverified_authorization) == ("a", 3, (b"Bearer x",))


def test_a_route_keeps_what_it_says_and_never_what_is_ours():
    cleaning = Cleaning.of(set_by_policy=["X-Role"], kept=["X-Http-Method-Override", "X-Forwarded-Host"])
    raw = [
        (name, b"v") for name in (b"x-http-method-override", b"x-forwarded-host", b"x-role", b"X.Role", b"remote-user")
    ]
    assert read(fields=[(b"Host", b"a"), *raw], cleaning=cleaning).fields == ((b"x-http-method-override", b"v"),)


def test_folding_takes_for_equal_what_cgi_does():
    assert fold(b"X_Auth.Request!User") == b"x-auth-request-user"


def test_memories_are_bounded_and_hold_no_refusal():
    memory = Remembered(read_authority, maximum=3)
    for host in (b"a", b"b", b"c", b"d", b"", b"x" * 300):
        memory[host]
    assert set(memory) == {b"d"}


SEGMENT = st.text(string.ascii_letters + string.digits + "-_~!$&'()*+,=:@", min_size=1, max_size=8)
NAME = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=8).map(lambda name: f"k{name}")
VALUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=8)


@given(st.lists(SEGMENT, min_size=1, max_size=4), st.lists(st.tuples(NAME, VALUE), max_size=6))
def test_what_is_unambiguous_is_kept_as_it_is(segments, fields):
    path = "/" + "/".join(segments)
    raw = [(name.encode(), value.encode()) for name, value in fields]
    arrived = read(path.encode(), [(b"Host", b"a"), *raw])
    assert (arrived.path, arrived.segments, list(arrived.fields)) == (path, tuple(segments), raw)


@given(st.binary(max_size=40))
def test_any_octets_make_a_target_or_a_refusal(octets):
    target = read_target(b"/" + octets)
    if not isinstance(target, Refusal):
        path = read_path(target.path)
        if not isinstance(path, Refusal):
            assert not {".", ".."} & set(path.segments)
            assert not any(set("/\\;\0") & set(segment) for segment in path.segments)
            assert "" not in path.segments[:-1]
    read_authority(octets)


def test_an_address_as_long_as_no_address_is_none_and_not_kept():
    held = forwarded._normalised.cache_info().currsize
    assert forwarded.normalised("1" * 65) is None
    assert forwarded.normalised(":" * 30_000) is None
    assert forwarded._normalised.cache_info().currsize == held
    assert str(forwarded.normalised("::ffff:192.0.2.7")) == "192.0.2.7"
