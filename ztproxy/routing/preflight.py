"""The question that a browser asks before a page's request (the Fetch standard §4.8): answered, or let through bare.

It carries no identity, so it is met before anybody is asked who they are. Only exactly that question is: an OPTIONS
with credentials or content is a request like any other.
"""

from collections.abc import Callable

import msgspec

from ztproxy.config.cross_origin import Cors, readers
from ztproxy.model import Answer, Arrived, Preflight, Reason, Refusal

_ORIGIN, _METHOD, _HEADERS = b"origin", b"access-control-request-method", b"access-control-request-headers"
QUESTION = frozenset({_ORIGIN, _METHOD, _HEADERS})
"""The fields that the question consists of."""
_VARY = (b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers")
_NO_CONTENT = 204

Meeting = Callable[[Arrived, str], Answer | Preflight | Refusal]


def is_question(arrived: Arrived) -> bool:
    """Whether this is a browser's question, and nothing besides."""
    if arrived.method != "OPTIONS" or arrived.content_length != 0:
        return False
    if arrived.unverified_authorization or arrived.unverified_proofs:
        return False
    names = [name for name, _ in arrived.fields]
    return names.count(_ORIGIN) == 1 and names.count(_METHOD) == 1 and b"cookie" not in names


def meeting(cors: Cors) -> Meeting:
    """How a route meets the question."""
    if cors.preflight == "forward":
        return _let_through
    said, granted = readers(cors), _granted(cors)
    methods = frozenset(method.encode("ascii") for method in cors.methods)
    headers = frozenset(name.lower().encode("ascii") for name in cors.headers)

    def answer(arrived: Arrived, _: str) -> Answer | Refusal:
        fields = said(arrived.fields)
        if not any(name == b"access-control-allow-origin" for name, _ in fields):
            return _refused("its origin is not among the route's `cors.origins`")
        if _values(arrived, _METHOD)[0] not in methods:
            return _refused("the method is not among the route's `cors.methods`")
        asked = {part.strip(b" \t").lower() for value in _values(arrived, _HEADERS) for part in value.split(b",")}
        if asked - {b""} - headers:
            return _refused("a header is not among the route's `cors.headers`")
        return Answer(_NO_CONTENT, (*fields, *granted, _VARY), b"")

    return answer


def _granted(cors: Cors) -> tuple[tuple[bytes, bytes], ...]:
    fields = [(b"access-control-allow-methods", ", ".join(cors.methods).encode("ascii"))]
    if cors.headers:
        fields.append((b"access-control-allow-headers", ", ".join(cors.headers).encode("ascii")))
    fields.append((b"access-control-max-age", b"%d" % int(cors.max_age)))
    return tuple(fields)


def _let_through(arrived: Arrived, route: str) -> Preflight:
    """The bare question: no cookie, no credential, no field besides."""
    bare = tuple(field for field in arrived.fields if field[0] in QUESTION)
    return Preflight(msgspec.structs.replace(arrived, fields=bare), route)


def _refused(cause: str) -> Refusal:
    return Refusal(Reason.CROSS_ORIGIN_REFUSED, cause=cause)


def _values(arrived: Arrived, wanted: bytes) -> list[bytes]:
    return [value for name, value in arrived.fields if name == wanted]
