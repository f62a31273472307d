import pytest

from tests.raw_server import arrived
from tests.websocket import ACCEPT, ASKED, KEY
from ztproxy.upstream.response_fields import Head
from ztproxy.upstream.switching import accept, objection

OFFERED = (
    *ASKED,
    (b"sec-websocket-protocol", b"chat, superchat"),
    (b"sec-websocket-protocol", b"graphql-ws"),
    (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits, x-other"),
)


def said(*fields: tuple[bytes, bytes], protocol: bytes | None = b"websocket", asked=OFFERED, upgrade="websocket"):
    head = Head(list(fields))
    head.switches_to = protocol
    return objection(arrived(upgrade=upgrade, fields=asked), head)


def test_the_accept_is_made_as_the_standard_shows():
    assert accept(KEY) == ACCEPT


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((b"sec-websocket-protocol", b"superchat"),),
        ((b"sec-websocket-protocol", b"graphql-ws"),),
        ((b"sec-websocket-extensions", b"permessage-deflate; server_no_context_takeover"),),
        ((b"sec-websocket-extensions", b"permessage-deflate"), (b"sec-websocket-extensions", b"x-other")),
    ],
)
def test_what_was_asked_for_is_agreed_to(fields):
    assert said((b"sec-websocket-accept", ACCEPT), *fields) is None


def test_another_protocol_needs_no_more_than_its_name():
    assert said(protocol=b"tcp-x", upgrade="tcp-x", asked=()) is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((), "Accept"),
        (((b"sec-websocket-accept", ACCEPT), (b"sec-websocket-accept", ACCEPT)), "Accept"),
        (((b"sec-websocket-accept", ACCEPT[:-1]),), "Accept"),
        (((b"sec-websocket-accept", ACCEPT.lower()),), "Accept"),
        (((b"sec-websocket-accept", KEY),), "Accept"),
        (((b"sec-websocket-accept", ACCEPT), (b"sec-websocket-protocol", b"other")), "subprotocol"),
        (((b"sec-websocket-accept", ACCEPT), (b"sec-websocket-protocol", b"chat, superchat")), "subprotocol"),
        (((b"sec-websocket-accept", ACCEPT), *((b"sec-websocket-protocol", b"chat"),) * 2), "subprotocol"),
        (((b"sec-websocket-accept", ACCEPT), (b"sec-websocket-extensions", b"x-evil")), "extension"),
        (((b"sec-websocket-accept", ACCEPT), (b"sec-websocket-extensions", b"x-other, x-evil; a=1")), "extension"),
    ],
)
def test_what_was_not_asked_for_is_no_agreement(answer, why):
    assert why in (said(*answer) or "")


@pytest.mark.parametrize("protocol", [None, b"h2c", b"tcp-x"])
def test_another_protocol_is_no_agreement(protocol):
    assert "another protocol" in (said((b"sec-websocket-accept", ACCEPT), protocol=protocol) or "")


@pytest.mark.parametrize("asked", [(), ASKED[1:], (ASKED[0], *ASKED)])
def test_a_request_without_exactly_one_key_is_agreed_to_by_nobody(asked):
    assert said((b"sec-websocket-accept", ACCEPT), asked=asked)
