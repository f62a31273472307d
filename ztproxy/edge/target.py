"""The request target (RFC 9112 §3.2): a path that has exactly one spelling, a query, and an authority if it names one.

Routing, the policy and the upstream see the same octets. A path that another parser could normalise, decode once more
or cut short is refused as ambiguous rather than repaired.
"""

import re
from urllib.parse import unquote_to_bytes

from ztproxy.edge.ill_formed import ambiguous, malformed
from ztproxy.edge.parsed import Asked, Path, Target
from ztproxy.model import Refusal

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_PATH = _UNRESERVED + b"!$&'()*+,=:@/%"
"""RFC 3986 pchar and the slash, without `;`, at which some servers cut a path off."""
_QUERY = bytes(c for c in range(0x21, 0x7F) if c != ord("#"))
"""Visible ASCII: browsers send more of it unescaped than RFC 3986 allows, and nobody reads it in two ways."""
_ESCAPE = re.compile(rb"%([0-9A-F]{2})?")
_HEX = re.compile(rb"[0-9A-Fa-f]{2}")
_QUERY_ESCAPES = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})*")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)(.*)", re.IGNORECASE)
_FORBIDDEN_ENCODED = {ord("/"): "slash", ord("\\"): "backslash", ord(";"): "semicolon"}
_CONTROLS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))


def read_asked(raw: bytes) -> Asked | Refusal:
    """Read a target whole."""
    target = read_target(raw)
    if isinstance(target, Refusal):
        return target
    path = read_path(target.path)
    return path if isinstance(path, Refusal) else Asked(target, path)


def read_target(raw: bytes) -> Target | Refusal:
    """Split a target in origin-form or absolute-form; `path` is yet to be read with `read_path`."""
    scheme = authority = None
    rest = raw
    if not raw.startswith(b"/"):
        found = _ABSOLUTE.fullmatch(raw)
        if not found or not found[3].startswith(b"/"):
            return malformed("the request target has no path that starts with a slash")
        scheme, authority, rest = found[1].decode().lower(), found[2], found[3]
    path, mark, query = rest.partition(b"?")
    if b"#" in rest:
        return malformed(f"a fragment in the request target, at octet {raw.index(b'#') + 1}")
    if not mark:
        return Target(path, None, scheme, authority)
    if refusal := _unreadable_query(query):
        return refusal
    return Target(path, query.decode("ascii"), scheme, authority)


def read_path(raw: bytes) -> Path | Refusal:
    """A path in its one spelling, or a refusal that says what has another reading, and where."""
    if foreign := raw.translate(None, _PATH):
        return _foreign(raw, foreign[:1])
    if (at := raw.find(b"//")) >= 0:
        return ambiguous(f"an empty segment in the path, at octet {at + 1}")
    if b"%" in raw:
        return _escapes(raw) or _unescaped(raw)
    text = raw.decode("ascii")
    segments = tuple(text[1:].split("/")) if raw != b"/" else ()
    if b"/." in raw and ("." in segments or ".." in segments):
        return ambiguous("a dot segment in the path")
    return Path(text, segments)


def _unescaped(raw: bytes) -> Path | Refusal:
    """A path with escapes that all parsers see alike."""
    try:
        segments = tuple(unquote_to_bytes(part).decode() for part in raw[1:].split(b"/"))
    except UnicodeDecodeError:
        return ambiguous("escapes in the path that are not UTF-8")
    if "." in segments or ".." in segments:
        return ambiguous("a dot segment in the path")
    if any(not _CONTROLS.isdisjoint(segment) for segment in segments):
        return ambiguous("an encoded control character in the path")
    return Path(raw.decode("ascii"), segments)


def _foreign(path: bytes, octet: bytes) -> Refusal:
    where = f"in the path, at octet {path.index(octet) + 1}"
    if named := _FORBIDDEN_ENCODED.get(octet[0]):
        return ambiguous(f"a {named} {where}")
    if octet >= b"\x80":
        return ambiguous(f"an octet outside ASCII {where}")
    return malformed(f"the octet 0x{octet.hex()} {where}")


def _escapes(path: bytes) -> Refusal | None:
    """Refuse escapes that another parser would see otherwise (RFC 3986 §2.1, §6.2.2)."""
    for found in _ESCAPE.finditer(path):
        where = f"in the path, at octet {found.start() + 1}"
        if found[1] is None:
            if _HEX.fullmatch(path, found.start() + 1, found.start() + 3):
                return ambiguous(f"an escape in lower-case hex {where}")
            return malformed(f"a percent sign without two hex digits {where}")
        octet = int(found[1], 16)
        if octet in _UNRESERVED:
            return ambiguous(f"an escape of {chr(octet)!r}, which needs none, {where}")
        if named := _FORBIDDEN_ENCODED.get(octet):
            return ambiguous(f"an encoded {named} {where}")
        if octet == ord("%") and _HEX.fullmatch(path, found.end(), found.end() + 2):
            return ambiguous(f"a doubly encoded octet {where}")
    return None


def _unreadable_query(query: bytes) -> Refusal | None:
    if foreign := query.translate(None, _QUERY):
        return malformed(f"the octet 0x{foreign[:1].hex()} in the query, at octet {query.index(foreign[:1]) + 1}")
    if b"%" in query:
        if not _QUERY_ESCAPES.fullmatch(query):
            return malformed("a percent sign without two hex digits in the query")
        try:
            unquote_to_bytes(query).decode()
        except UnicodeDecodeError:
            return ambiguous("escapes in the query that are not UTF-8")
    return None
