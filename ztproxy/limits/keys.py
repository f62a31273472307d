"""What a bucket is keyed by: parts of a request turned into text, so that no two identities share a bucket.

Each part says its kind and its length before its value, so nothing that a client or an issuer chooses can be read as
another kind or run into the next part. A part that a request does not have (no token, no such claim) is replaced by
its source address: leaving a token out must not lead to a bucket of its own, nor out of the limit.
"""

import hashlib
import ipaddress
import json
from collections.abc import Callable
from functools import lru_cache

from ztproxy.claim_path import claim_named
from ztproxy.model import Certificate, Token

Part = Callable[[str, str, Certificate | None, Token | None], str]
"""From source key, route, certificate and token to the part's text."""

LONGEST = 200
"""Longer keys are kept as their hash: identities are as long as their issuers like."""
_ADDRESSES = 16384
"""Addresses whose key is remembered."""


def source_key(ipv6_prefix: int) -> Callable[[str], str]:
    """What an address is keyed by: IPv4 whole, also when mapped into IPv6; IPv6 by its prefix.

    One subscriber has at least a /64 (RFC 6177): single IPv6 addresses are free to whoever wants another bucket.
    """

    @lru_cache(maxsize=_ADDRESSES)
    def key(source: str) -> str:
        try:
            address = ipaddress.ip_address(source.partition("%")[0])
        except ValueError:
            return _typed("x", source)  # a Unix socket: all its clients share one bucket
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped is None:
                prefix = int(address) >> (128 - ipv6_prefix)
                return _typed("6", f"{prefix:x}")
            address = address.ipv4_mapped
        return _typed("4", str(address))

    return key


def _typed(kind: str, value: str) -> str:
    return f"{kind}{len(value)}:{value}"


def _source(source: str, _route: str, _certificate: Certificate | None, _token: Token | None) -> str:
    return source


def _route(_source: str, route: str, _certificate: Certificate | None, _token: Token | None) -> str:
    return _typed("r", route)


def _fingerprint(source: str, _route: str, certificate: Certificate | None, _token: Token | None) -> str:
    return source if certificate is None else "f" + certificate.fingerprint


def _spiffe_id(source: str, _route: str, certificate: Certificate | None, _token: Token | None) -> str:
    if certificate is None or certificate.spiffe_id is None:
        return source
    return _typed("i", certificate.spiffe_id)


def _subject(source: str, _route: str, _certificate: Certificate | None, token: Token | None) -> str:
    if token is None:
        return source
    return f"s{len(token.issuer)}:{token.issuer}{len(token.subject)}:{token.subject}"


def _claim(name: str) -> Part:
    """A claim: by exactly this name, else by the path that its dots make; null counts as absent."""

    def part(source: str, _route: str, _certificate: Certificate | None, token: Token | None) -> str:
        if token is None:
            return source
        value = claim_named(token.claims, name)
        if value is None:
            return source
        kind = "c" if isinstance(value, str) else "j"  # "1" is not 1
        text = value if kind == "c" else json.dumps(value, sort_keys=True, separators=(",", ":"))
        return _typed(kind, token.issuer) + _typed("", text)

    return part


_PARTS: dict[str, Part] = {
    "source.address": _source,
    "route": _route,
    "certificate.fingerprint": _fingerprint,
    "certificate.spiffe_id": _spiffe_id,
    "token.subject": _subject,
}


def part(key: str) -> Part:
    """The part that a key of the configuration names."""
    return _claim(key.removeprefix("token.claims.")) if key.startswith("token.claims.") else _PARTS[key]


def hashed(key: str) -> str:
    """What stands for a key that is too long; it starts as no other key does."""
    return "#" + hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
