"""What an issuer says about itself: its discovery document, strictly read (OpenID Connect Discovery 1.0 §3, RFC 8414).

Members that are not known here are left alone; one that is known and of the wrong kind spoils the whole document, for
whoever wrote it meant something else than what would be read.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ztproxy.identity.strict_json import MalformedError, read_object
from ztproxy.identity.tokens.unverified import is_name

MAXIMUM_URL = 2048
"""Characters."""
MAXIMUM_NAMES = 256
"""Members of one list."""
_URL = re.compile(r"https://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
"""RFC 3986 §2, and no line end: some of these URLs become header fields."""
_ALIASED = ("token_endpoint", "introspection_endpoint", "revocation_endpoint", "pushed_authorization_request_endpoint")


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of an issuer's metadata that somebody here uses. Every endpoint is an https URL with a host."""

    issuer: str
    """Exactly as configured."""
    jwks_uri: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    end_session_endpoint: str | None = None
    introspection_endpoint: str | None = None
    revocation_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    pushed_authorization_request_endpoint: str | None = None
    mtls_endpoint_aliases: Mapping[str, str] = {}
    """Where clients that authenticate by certificate go instead (RFC 8705 §5); endpoints only."""
    authorization_response_iss_parameter_supported: bool = False
    """Every authorization response names the issuer (RFC 9207 §3)."""
    require_pushed_authorization_requests: bool = False
    tls_client_certificate_bound_access_tokens: bool = False
    backchannel_logout_supported: bool = False
    backchannel_logout_session_supported: bool = False
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    """What is meant when it does not say (RFC 8414 §2)."""
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...] | None = None
    introspection_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = None
    """None: it does not say; an empty list is no list."""
    response_types_supported: tuple[str, ...] | None = None
    response_modes_supported: tuple[str, ...] | None = None
    grant_types_supported: tuple[str, ...] | None = None
    scopes_supported: tuple[str, ...] | None = None
    acr_values_supported: tuple[str, ...] | None = None
    prompt_values_supported: tuple[str, ...] | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] | None = None
    dpop_signing_alg_values_supported: tuple[str, ...] | None = None

    def endpoint(self, name: str, *, by_certificate: bool = False) -> str | None:
        """Where it is for a client that authenticates by its certificate, or for any other."""
        alias = self.mtls_endpoint_aliases.get(name) if by_certificate else None
        found: str | None = getattr(self, name)
        return alias or found


_ENDPOINTS = tuple(name for name in Metadata.__struct_fields__ if name.endswith("_endpoint") or name == "jwks_uri")
_FLAGS = (
    "authorization_response_iss_parameter_supported",
    "require_pushed_authorization_requests",
    "tls_client_certificate_bound_access_tokens",
    "backchannel_logout_supported",
    "backchannel_logout_session_supported",
)
_LISTS = tuple(name for name in Metadata.__struct_fields__ if name.endswith("_supported") and name not in _FLAGS)


def read_metadata(document: bytes, issuer: str) -> Metadata:
    """The metadata of this very issuer (§4.3). Raises `MalformedError`, which names the member that is wrong."""
    members = read_object(document)
    if members.get("issuer") != issuer:
        raise MalformedError("it is about another issuer")
    # null stands for nothing with some providers; what it could have named is then simply not there.
    present = {name: value for name, value in members.items() if value is not None}
    found: dict[str, Any] = {"issuer": issuer}
    for name in _ENDPOINTS:
        if name in present:
            found[name] = _url(present, name)
    for name in _FLAGS:
        if name in present:
            if not isinstance(present[name], bool):
                raise MalformedError(f"its `{name}` is neither true nor false")
            found[name] = present[name]
    for name in _LISTS:
        if name in present:
            found[name] = _names(present, name)
    if "mtls_endpoint_aliases" in present:
        found["mtls_endpoint_aliases"] = _aliases(present["mtls_endpoint_aliases"])
    return Metadata(**found)


def write_metadata(metadata: Metadata | None) -> Mapping[str, Any]:
    """As it is kept over a restart; `read_metadata` reads it."""
    written: dict[str, Any] = {} if metadata is None else msgspec.to_builtins(metadata)
    return written


def is_https(url: str) -> bool:
    """Whether it is an https URL with a host, and without user or fragment."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    named = parts.scheme == "https" and bool(parts.hostname) and port != 0
    return named and parts.username is None and not parts.fragment


def _url(members: Mapping[str, Any], name: str) -> str:
    value = members[name]
    if not isinstance(value, str) or len(value) > MAXIMUM_URL or not _URL.fullmatch(value) or not is_https(value):
        raise MalformedError(f"its `{name}` is no https URL with a host")
    return value


def _names(members: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = members[name]
    if not isinstance(values, list) or len(values) > MAXIMUM_NAMES or not all(map(is_name, values)):
        raise MalformedError(f"its `{name}` is no list of names")
    return tuple(values)


def _aliases(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise MalformedError("its `mtls_endpoint_aliases` is no object")
    return {name: _url(value, name) for name in _ALIASED if value.get(name) is not None}
