"""A request to change protocol: which may be asked for at all, and what a WebSocket handshake must hold.

Whether the request's own route lets it switch is routing's to say; whether the upstream agreed, and to what was asked,
the upstream's.
"""

import re

from ztproxy.config.streams import WEBSOCKET
from ztproxy.edge.ill_formed import malformed
from ztproxy.edge.parsed import FieldSection
from ztproxy.model import Fields, Reason, Refusal

_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
"""Sixteen octets in base64 (RFC 6455 §4.1)."""
_VERSION = b"13"
_UPGRADE_REQUIRED = 426


def read_upgrade_request(method: bytes, version: str, section: FieldSection, allowed: frozenset[str]) -> Refusal | None:
    """Refuse a request to switch to what no route lets through, or that is not a handshake with one reading."""
    if section.upgrade not in allowed:
        return malformed("an Upgrade to a protocol that no route lets through")
    if method != b"GET" or version != "HTTP/1.1" or section.content_length != 0:
        return malformed("a request to switch protocols is a GET in HTTP/1.1 without content")
    return _websocket(section.fields) if section.upgrade == WEBSOCKET else None


def _websocket(fields: Fields) -> Refusal | None:
    keys = [value for name, value in fields if name == b"sec-websocket-key"]
    versions = [value for name, value in fields if name == b"sec-websocket-version"]
    if len(keys) != 1 or len(versions) != 1:
        return malformed("a WebSocket handshake has one key and one version")
    if versions[0] != _VERSION:
        known = ((b"Sec-WebSocket-Version", _VERSION),)
        detail = "a version of WebSocket other than 13"
        return Refusal(Reason.REQUEST_MALFORMED, detail, fields=known, status_code=_UPGRADE_REQUIRED, close=True)
    if not _KEY.fullmatch(keys[0]):
        return malformed("a WebSocket key that is not 16 octets in base64")
    return None
