import pytest

from tests.unit.test_edge_canonical import read
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.field_section import read_fields
from ztproxy.edge.upgrading import read_upgrade_request
from ztproxy.model import Refusal

HOST, CONNECTION, VERSION = (b"Host", b"a"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Version", b"13")
KEY = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")


def judged(
    *fields, protocol: bytes = b"websocket", method: bytes = b"GET", version: str = "HTTP/1.1", allowed="websocket"
):
    raw = [HOST, CONNECTION, (b"Upgrade", protocol), *fields]
    section = read_fields(raw, version, Cleaning.of().verdicts)
    return (
        section
        if isinstance(section, Refusal)
        else read_upgrade_request(method, version, section, frozenset([allowed]))
    )


def test_a_handshake_passes():
    assert judged(KEY, VERSION) is None


@pytest.mark.parametrize(
    "fields",
    [
        (KEY,),
        (VERSION,),
        (KEY, KEY, VERSION),
        (KEY, VERSION, VERSION),
        ((KEY[0], b"a2V5"), VERSION),
        ((KEY[0], KEY[1][:-1]), VERSION),
        ((KEY[0], b"dGhlIHNhbXBsZSBub25jZR=="), VERSION),
        ((KEY[0], KEY[1] + b", " + KEY[1]), VERSION),
        (KEY, VERSION, (b"Content-Length", b"1")),
        (KEY, VERSION, (b"Transfer-Encoding", b"chunked")),
    ],
)
def test_what_has_two_readings_is_refused(fields):
    refusal = judged(*fields)
    assert (refusal.status, refusal.close) == (400, True)


def test_another_version_is_told_which_one_is_spoken():
    refusal = judged(KEY, (VERSION[0], b"8"))
    assert (refusal.status, refusal.fields) == (426, ((b"Sec-WebSocket-Version", b"13"),))


@pytest.mark.parametrize("change", [{"method": b"POST"}, {"version": "HTTP/1.0"}, {"protocol": b"h2c"}])
def test_only_a_get_in_http_1_1_to_a_protocol_that_is_let_through(change):
    assert judged(KEY, VERSION, **change).status == 400


def test_another_protocol_that_a_route_names_needs_no_key():
    assert judged(protocol=b"TCP-X", allowed="tcp-x") is None
    assert judged(protocol=b"spdy/3.1", allowed="spdy/3.1") is None


@pytest.mark.parametrize("protocol", [b"websocket, h2c", b"web socket", b"", b"a/b/c", b"x" * 65])
def test_exactly_one_protocol(protocol):
    assert judged(KEY, VERSION, protocol=protocol).status == 400


def test_by_default_nothing_but_websocket():
    fields = [HOST, CONNECTION, (b"Upgrade", b"tcp-x")]
    assert read(fields=fields).detail == "an Upgrade to a protocol that no route lets through"
