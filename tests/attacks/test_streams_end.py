"""Who has no right any more goes on with nothing: streams end when told, and when what opened them ends.

What is claimed: a WebSocket, an event stream, a download or an upload ends at the first look after its token's or its
certificate's end, whatever the upstream or the client do, and nothing of it passes afterwards.
"""

import msgspec
import pytest

from tests.edge import get
from tests.pki import Authority
from tests.raw_server import certificate
from tests.unit.test_edge_streams import edge, later, opened
from tests.websocket import frame
from ztproxy.model import Reason, Refusal

EXPIRED = frame(8, b"\x03\xf0token-expired")


async def test_a_websocket_ends_with_its_token():
    one = opened(edge(expires_in=60))
    later(one, 59)
    assert not one.wire.closed
    later(one, 1)
    assert one.wire.taken().endswith(EXPIRED)
    assert one.wire.closed
    assert one.forward.last.aborted


async def test_nothing_passes_afterwards():
    one = opened(edge(expires_in=60))
    later(one, 60)
    one.wire.taken()
    server = one.forward.last
    server.client.send_octets(frame(1, b"secret"))
    before = server.body
    one.http.received(frame(1, b"more", mask=b"abcd"))
    assert (one.wire.taken(), server.body) == (b"", before)


@pytest.mark.parametrize("half", [1, 3])
async def test_in_the_middle_of_a_frame_it_is_cut(half):
    one = opened(edge(expires_in=60))
    one.wire.taken()
    one.forward.last.client.send_octets(frame(1, b"hello")[:half])
    later(one, 60)
    assert one.wire.aborted
    assert EXPIRED not in one.wire.taken()


async def test_after_the_servers_last_word_we_have_none():
    one = opened(edge(expires_in=60))
    one.forward.last.client.send_octets(frame(8, b"\x03\xe8"))
    one.wire.taken()
    later(one, 60)
    assert one.wire.taken() == b""
    assert one.wire.closed


async def test_an_event_stream_ends_without_its_last_chunk():
    one = edge(expires_in=60)
    one.send(get())
    client = one.forward.last.client
    client.send_head(200, ((b"content-type", b"text/event-stream"),), None)
    client.send_body(b"data: 1\n\n")
    later(one, 60)
    assert not one.wire.taken().endswith(b"0\r\n\r\n")
    assert one.wire.closed
    assert one.forward.last.aborted
    assert one.told.last.cut == "token-expired"


async def test_an_upload_or_a_long_poll_is_refused():
    one = edge(expires_in=60)
    one.send(get(b"/", b"Content-Length: 9", method=b"POST") + b"half")
    later(one, 60)
    assert one.wire.taken().startswith(b"HTTP/1.1 401 ")
    assert one.forward.last.aborted
    one.send(b"-rest")
    assert one.told.refusal.reason.word == "token-expired"
    assert one.forward.last.body == b"half"


async def test_a_download_of_known_length_is_cut():
    one = edge(expires_in=60)
    one.send(get())
    one.forward.last.client.send_head(200, (), 100)
    one.forward.last.client.send_body(b"half")
    later(one, 60)
    assert one.wire.closed or one.wire.aborted
    one.forward.last.client.send_body(b"x" * 96)
    assert one.wire.taken().endswith(b"half")


async def test_one_that_is_told_ends_although_both_sides_stand_still():
    one = opened(edge())
    one.http.pause_writing()
    assert one.site.streams.end(lambda stream: stream.route == "app", "withdrawn") == 1
    assert one.wire.closed or one.wire.aborted
    assert one.forward.last.aborted
    one.http.lost()


TRUST = {
    "its authority is gone": (Refusal(Reason.CERTIFICATE_UNTRUSTED_HERE, close=True), "certificate-untrusted-here"),
    "nobody is asked for one any more": (None, "certificate-untrusted-here"),
    "one is demanded that was not shown": (Refusal(Reason.CERTIFICATE_REQUIRED, close=True), "certificate-required"),
}


@pytest.mark.parametrize(("found", "word"), TRUST.values(), ids=TRUST.keys())
async def test_a_change_of_trust_ends_what_rests_on_the_old(found, word):
    one = opened(edge(certificate=certificate(Authority.new().issue("alice"))))
    exchange = next(one.site.exchanges())
    one.site.streams.judged_anew(exchange, msgspec.structs.replace(one.connection, unchecked_certificate=found))
    assert one.wire.taken().endswith(frame(8, b"\x03\xf0" + word.encode()))
    assert one.wire.closed


async def test_trust_that_still_holds_ends_nothing():
    shown = certificate(Authority.new().issue("alice"))
    for held, found in ((shown, shown), (None, None)):
        one = opened(edge(certificate=held))
        exchange = next(one.site.exchanges())
        one.site.streams.judged_anew(exchange, msgspec.structs.replace(one.connection, unchecked_certificate=found))
        assert not one.wire.closed


async def test_a_stream_of_another_is_never_ended_by_mistake():
    one = opened(edge())
    assert one.site.streams.end(lambda stream: stream.token_subject == "bob", "withdrawn") == 0
    assert not one.wire.closed
