"""Whether an upstream's 101 agrees to what was asked, and to nothing else.

A server that says 101 without having understood the handshake would take the client's next octets for HTTP: a request
that nobody judged. So it has to show that it did (RFC 6455 §4.1, §4.2.2).
"""

import base64
import hashlib
import hmac

from ztproxy.model import Arrived, Fields
from ztproxy.upstream.response_fields import Head

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPT, _SUBPROTOCOL, _EXTENSIONS = b"sec-websocket-accept", b"sec-websocket-protocol", b"sec-websocket-extensions"


def objection(asked: Arrived, head: Head) -> str | None:
    """What is wrong with a switch of protocols; None when it is the one asked for."""
    if asked.upgrade is None or head.switches_to != asked.upgrade.encode("ascii"):
        return "a switch to another protocol than the one asked for"
    return _websocket(asked.fields, tuple(head.fields)) if asked.upgrade == "websocket" else None


def accept(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _websocket(asked: Fields, agreed: Fields) -> str | None:
    keys, accepts = _values(asked, b"sec-websocket-key"), _values(agreed, _ACCEPT)
    if len(keys) != 1 or len(accepts) != 1 or not hmac.compare_digest(accepts[0], accept(keys[0])):
        return "a switch to WebSocket without the key's Sec-WebSocket-Accept"
    subprotocols = _values(agreed, _SUBPROTOCOL)
    if len(subprotocols) > 1 or not set(subprotocols) <= set(_members(asked, _SUBPROTOCOL)):
        return "a WebSocket subprotocol that nobody asked for"
    if not _extensions(agreed) <= _extensions(asked):
        return "a WebSocket extension that nobody asked for"
    return None


def _values(fields: Fields, wanted: bytes) -> list[bytes]:
    return [value.strip(b" \t") for name, value in fields if name == wanted]


def _extensions(fields: Fields) -> set[bytes]:
    """Names, without parameters."""
    return {member.partition(b";")[0].strip(b" \t") for member in _members(fields, _EXTENSIONS)} - {b""}


def _members(fields: Fields, wanted: bytes) -> list[bytes]:
    """The members of a list field, of all its lines."""
    return [member.strip(b" \t") for value in _values(fields, wanted) for member in value.split(b",")]
