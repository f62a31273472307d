"""Where an issuer's keys are, and the keys (OpenID Connect Discovery 1.0 §4, RFC 7517)."""

from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from ztproxy.identity.fetching import Document, FetchError
from ztproxy.identity.keys import KeySet, read_key_set
from ztproxy.identity.strict_json import MalformedError, read_object


class Get(Protocol):
    """Fetches one document; raises `FetchError`."""

    async def get(self, url: str) -> Document: ...


class Published(msgspec.Struct, frozen=True):
    """The keys that an issuer publishes now, and for how many seconds it calls them fresh."""

    keys: KeySet
    fresh_for: int | None


async def fetch_keys(fetcher: Get, issuer: str, jwks_uri: str | None) -> Published:
    """The issuer's keys, from `jwks_uri` or, when that is None, from where its discovery document says.

    The caller bounds the time. Raises `FetchError`, which names the document that was wrong.
    """
    url = jwks_uri or await _discover(fetcher, issuer)
    document = await fetcher.get(url)
    try:
        return Published(read_key_set(document.body), document.fresh_for)
    except MalformedError as wrong:
        raise FetchError(f"{url} is no key set: {wrong}") from wrong


def discovery_url(issuer: str) -> str:
    """Where the discovery document is (§4.1: a closing slash of the issuer is removed first)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


async def _discover(fetcher: Get, issuer: str) -> str:
    """The keys' place by the issuer's discovery document, which must be about this very issuer (§4.3)."""
    url = discovery_url(issuer)
    document = await fetcher.get(url)
    try:
        metadata = read_object(document.body)
    except MalformedError as wrong:
        raise FetchError(f"{url} is no discovery document: {wrong}") from wrong
    if metadata.get("issuer") != issuer:
        raise FetchError(f"{url} is about another issuer")
    jwks_uri = metadata.get("jwks_uri")
    if not isinstance(jwks_uri, str) or not is_https(jwks_uri):
        raise FetchError(f"{url} names no https `jwks_uri`")
    return jwks_uri


def is_https(url: str) -> bool:
    """Whether it is an https URL with a host, and without user or fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and parts.username is None and not parts.fragment
