"""What the mapped claims of an assertion are made of: parts of a request, named as in the policy's input."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from ztproxy.claim_path import claim_named
from ztproxy.config.assertions import TOKEN_CLAIM
from ztproxy.model import Authorized

Read = Callable[[Authorized], Any]
"""The value; None where there is none."""
_OF_REQUESTS: dict[str, Read] = {
    "request.host": attrgetter("arrived.host"),
    "request.scheme": attrgetter("arrived.scheme"),
    "source.address": lambda authorized: authorized.arrived.source or None,
}
"""What differs between two requests of one identity on one route."""


class Source(NamedTuple):
    """Where a claim's value comes from."""

    read: Read
    of_request: bool
    """It does not follow from route, token and certificate: whoever remembers what is made of it must compare it."""


def source(name: str) -> Source:
    """The source that the configuration names."""
    if name in _OF_REQUESTS:
        return Source(_OF_REQUESTS[name], of_request=True)
    if name == "request.route":
        return Source(attrgetter("route"), of_request=False)
    part, _, rest = name.partition(".")
    if name.startswith(TOKEN_CLAIM):
        return Source(_claim(name.removeprefix(TOKEN_CLAIM)), of_request=False)
    return Source(_of(part, rest), of_request=False)


def _claim(name: str) -> Read:
    def read(authorized: Authorized) -> Any:
        return None if authorized.token is None else claim_named(authorized.token.claims, name)

    return read


def _of(part: str, path: str) -> Read:
    """A field of the token or of the certificate."""
    get: Callable[[Any], Any] = attrgetter(path)

    def read(authorized: Authorized) -> Any:
        known = authorized.token if part == "token" else authorized.certificate
        return None if known is None else get(known)

    return read


def sources(claims: Mapping[str, str]) -> tuple[tuple[str, Source], ...]:
    """By claim."""
    return tuple((name, source(named)) for name, named in claims.items())
