"""Whether a proof was made for this request's target (RFC 9449 §4.3 no. 9): the claim `htu` against what was asked.

What was asked is in its one canonical spelling already; what a client writes is normalised to that (RFC 3986 §6.2.2,
§6.2.3), or is no match. Query and fragment do not count, as the RFC has it.
"""

import ipaddress
import re

_URI = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{0,5}))?(/[^?#]*)?([?#].*)?", re.IGNORECASE
)
_VISIBLE = re.compile(r"[!-~]+")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS = {"https": 443, "http": 80}
MAXIMUM_URI = 8192
"""Characters."""


def is_target(claimed: str, scheme: str, authority: str, path: str) -> bool:
    """Whether a claimed URI is the one that was asked for, apart from its query.

    Args:
        claimed: what the proof says.
        scheme: `https` or `http`.
        authority: host and port, the port only where it is not the scheme's.
        path: as received.
    """
    return claimed == f"{scheme}://{authority}{path}" or normalised(claimed) == (scheme, authority, path)


def normalised(uri: str) -> tuple[str, str, str] | None:
    """Scheme, authority and path of a URI in one spelling; None for what is no absolute http(s) URI without user."""
    if len(uri) > MAXIMUM_URI or not _VISIBLE.fullmatch(uri) or (found := _URI.fullmatch(uri)) is None:
        return None
    scheme, host = found[1].lower(), found[2].lower()
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    port = int(found[3]) if found[3] else _DEFAULT_PORTS[scheme]
    authority = host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"
    return scheme, authority, _without_dots(_ESCAPE.sub(_unescaped, found[4] or "/"))


def _unescaped(found: re.Match[str]) -> str:
    """An escape in capitals, or the character that needs none."""
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0].upper()


def _without_dots(path: str) -> str:
    """A path without dot segments (RFC 3986 §5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            if kept:
                kept.pop()
        elif part != ".":
            kept.append(part)
    if parts[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
