"""SPIFFE IDs, as their specification writes them (SPIFFE-ID §2)."""

import re

MAXIMUM_ID = 2048
"""Octets."""
_ID = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)")


def is_spiffe(uri: str) -> bool:
    """Whether a URI claims to be a SPIFFE ID, well formed or not."""
    return uri[:7].lower() == "spiffe:"


def is_spiffe_id(uri: str) -> bool:
    """Whether it is one: a trust domain, a path of named segments, no dots as segments, no query, nothing encoded."""
    found = _ID.fullmatch(uri) if len(uri) <= MAXIMUM_ID else None
    return found is not None and not {".", ".."} & set(found[2].split("/"))
