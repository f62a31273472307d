"""SPIFFE IDs and patterns of them, as their specification writes them (SPIFFE-ID §2).

An ID has one spelling: nothing is encoded, the trust domain is lower case, no segment is empty or a dot.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

MAXIMUM_ID = 2048
"""Octets."""
SCHEME = "spiffe://"
_DOMAIN = r"[a-z0-9._-]{1,255}"
_ID = re.compile(rf"spiffe://({_DOMAIN})((?:/[A-Za-z0-9._-]+)*)")
_PATTERN = re.compile(rf"spiffe://{_DOMAIN}(?:/(?:\*|[A-Za-z0-9._-]+))*(?:/\*\*)?")
_DOTS = {".", ".."}


def is_spiffe(uri: str) -> bool:
    """Whether a URI claims to be a SPIFFE ID, well formed or not."""
    return uri[:7].lower() == "spiffe:"


def is_spiffe_id(uri: str) -> bool:
    """Whether it is one: a trust domain, a path of named segments, no dots as segments, no query, nothing encoded."""
    found = _ID.fullmatch(uri) if len(uri) <= MAXIMUM_ID else None
    return found is not None and not _DOTS & set(found[2].split("/"))


def is_workload_id(uri: str) -> bool:
    """Whether it names a workload: a leaf's ID has a path (X509-SVID §5.2), a trust domain alone is its authority's."""
    return is_spiffe_id(uri) and "/" in uri[len(SCHEME) :]


def trust_domain_of(spiffe_id: str) -> str:
    """The trust domain of an ID or a pattern that is well formed."""
    return spiffe_id[len(SCHEME) :].partition("/")[0]


def trust_domain(value: str) -> str:
    """A trust domain's name, `prod.example`; raises ValueError."""
    name = value.removeprefix(SCHEME)
    if not re.fullmatch(_DOMAIN, name):
        raise ValueError("a trust domain is a name in lower case: prod.example")
    return name


def pattern(value: str) -> str:
    """A pattern of SPIFFE IDs; raises ValueError."""
    parts = value[len(SCHEME) :].split("/")
    if len(value) > MAXIMUM_ID or not _PATTERN.fullmatch(value) or _DOTS & set(parts[1:]):
        raise ValueError(
            "a pattern of SPIFFE IDs is spiffe://TRUST-DOMAIN/PATH, where * stands for one segment, and /** at the end "
            "for one or more: spiffe://prod.example/ns/shop/*, spiffe://prod.example/**"
        )
    if len(parts) == 1:
        raise ValueError(f"no workload has a trust domain's own ID; its workloads are {value}/**")
    return value


def matches(pattern_parts: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether an ID's parts, trust domain first, are those of a pattern; segments are compared whole."""
    if pattern_parts[-1] == "**":
        stem = len(pattern_parts) - 1
        return len(parts) > stem and matches_evenly(pattern_parts[:-1], parts[:stem])
    return len(parts) == len(pattern_parts) and matches_evenly(pattern_parts, parts)


def matches_evenly(pattern_parts: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether each part is the pattern's, or the pattern has `*` in its place."""
    return all(wanted in ("*", part) for wanted, part in zip(pattern_parts, parts, strict=True))


def parts_of(spiffe_id: str) -> tuple[str, ...]:
    """The trust domain and the segments of an ID or a pattern that is well formed."""
    return tuple(spiffe_id[len(SCHEME) :].split("/"))


class Ids:
    """Some patterns, ready to be asked."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.patterns = patterns
        self._exact = frozenset(one for one in patterns if "*" not in one)
        self._others = tuple(parts_of(one) for one in patterns if "*" in one)

    def __contains__(self, spiffe_id: str) -> bool:
        """Whether a well-formed ID is meant by one of them."""
        if spiffe_id in self._exact:
            return True
        parts = parts_of(spiffe_id)
        return any(matches(one, parts) for one in self._others)


TrustDomain = Annotated[
    str, AfterValidator(trust_domain), WithJsonSchema({"type": "string", "examples": ["prod.example"]})
]
SpiffePattern = Annotated[
    str,
    AfterValidator(pattern),
    WithJsonSchema({"type": "string", "pattern": "^spiffe://", "examples": ["spiffe://prod.example/ns/shop/*"]}),
]


def _workload_id(value: str) -> str:
    if not is_workload_id(value):
        raise ValueError("a workload's SPIFFE ID is spiffe://TRUST-DOMAIN/PATH, with nothing encoded: no *, no dots")
    return value


WorkloadId = Annotated[
    str,
    AfterValidator(_workload_id),
    WithJsonSchema({"type": "string", "examples": ["spiffe://prod.example/ns/shop/sa/orders"]}),
]
