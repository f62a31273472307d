"""Whom a request is for, as consistent hashing asks it: an identity key or a header, else the source address.

Each part says its kind first, so that nobody's subject is another's address. Two keys that met all the same would share
a server and nothing else.
"""

import json
from collections.abc import Callable
from typing import Any

from ztproxy.model import Authorized
from ztproxy.upstream.hashing import hashed

HashKey = Callable[[Authorized], int]


def hash_key(balance: str) -> HashKey | None:
    """What `balance` hashes; None where it hashes nothing."""
    if not balance.startswith("consistent_hash("):
        return None
    key = balance.removeprefix("consistent_hash(").removesuffix(")")
    text = _text(key)

    def of(authorized: Authorized) -> int:
        found = text(authorized)
        return hashed(f"source {authorized.arrived.source}" if found is None else f"{key} {found}")

    return of


def _text(key: str) -> Callable[[Authorized], str | None]:
    """What a key stands for in a request; None where the request does not have it."""
    if key.startswith("header."):
        return _header(key.removeprefix("header.").lower().encode("ascii"))
    if key.startswith("token.claims."):
        return _claim(key.removeprefix("token.claims."))
    return {
        "source.address": _nothing,
        "certificate.fingerprint": lambda one: None if one.certificate is None else one.certificate.fingerprint,
        "certificate.spiffe_id": lambda one: None if one.certificate is None else one.certificate.spiffe_id,
        "token.subject": lambda one: None if one.token is None else f"{one.token.issuer} {one.token.subject}",
    }[key]


def _nothing(_authorized: Authorized) -> None:
    return None


def _header(name: bytes) -> Callable[[Authorized], str | None]:
    def of(authorized: Authorized) -> str | None:
        values = [value for field, value in authorized.arrived.fields if field == name]
        return b", ".join(values).decode("latin-1") if values else None

    return of


def _claim(name: str) -> Callable[[Authorized], str | None]:
    """A claim: by exactly this name, else by the path that its dots make; null counts as absent."""
    path = name.split(".")

    def of(authorized: Authorized) -> str | None:
        token = authorized.token
        if token is None:
            return None
        value: Any = token.claims.get(name)
        if value is None:
            value = token.claims
            for step in path:
                value = value.get(step) if hasattr(value, "get") else None
        return None if value is None else f"{token.issuer} {json.dumps(value, sort_keys=True)}"

    return of
