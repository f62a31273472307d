"""What a decision is remembered under: everything of a request that its policy looks at.

The engine is shown nothing else (native/opa/engine/parse.go builds only those places of its input), so two requests
with equal keys are one question to it. Every part of a key has one type, so that Python's `1 == 1.0 == True` confuses
nothing: what comes from claims, where a number may be either, is in it as the JSON that the engine reads.
"""

from collections.abc import Callable, Hashable
from operator import attrgetter

from ztproxy.model import Admitted, Refusal
from ztproxy.policy.headers import Headers
from ztproxy.policy.places import Places, looked_at, names_below
from ztproxy.policy.query import decode_query
from ztproxy.policy.shared import Shared

Key = Hashable
KeyOf = Callable[[Admitted], Key | None]
_Part = Callable[[Admitted], Hashable]

_ATTRIBUTES = {
    ("request", "id"): ("arrived.request_id",),
    ("request", "method"): ("arrived.method",),
    ("request", "scheme"): ("arrived.scheme",),
    ("request", "host"): ("arrived.host",),
    ("request", "port"): ("arrived.port",),
    ("request", "path"): ("arrived.path",),
    ("request", "segments"): ("arrived.segments",),
    ("request", "protocol"): ("arrived.protocol",),
    ("source", "address"): ("arrived.source",),
    ("source", "port"): ("arrived.source", "arrived.connection.peer", "arrived.connection.peer_port"),
    ("source", "peer"): ("arrived.connection.peer",),
    ("tls",): ("arrived.connection.tls",),
}
"""What of a request makes the value at a place. The route is always in a key: each declares headers of its own."""


def key_of(places: Places, revision: str, shared: Shared, clock: Callable[[float], int] | None) -> KeyOf:
    """The function that makes keys, put together once for what a policy looks at; it answers None where there is none.

    A request whose query cannot be read has no key: it is for the document's writer to refuse.

    Args:
        places: what the policy looks at.
        revision: names the rules and the data that decide.
        shared: writes the parts of documents that requests share, for the same places.
        clock: what the policy's clock says, from seconds since 1970; None where it reads none.
    """
    names = {name for place, made in _ATTRIBUTES.items() if looked_at(places, place) for name in made}
    plain: Callable[[Admitted], Hashable] = attrgetter("route", *sorted(names))
    parts = [*_parts(places, shared)]
    if clock is not None:
        parts.append(lambda admitted: clock(admitted.arrived.wall))
    query = _query(places)
    if len(parts) == 2:  # noqa: PLR2004 - the usual case, certificate and token, without a list
        first, second = parts

        def key_of_two(admitted: Admitted) -> Key | None:
            text = admitted.arrived.query
            asked = query(text) if text else ()
            return None if asked is None else (revision, plain(admitted), asked, first(admitted), second(admitted))

        return key_of_two

    def key(admitted: Admitted) -> Key | None:
        text = admitted.arrived.query
        asked = query(text) if text else ()
        return None if asked is None else (revision, plain(admitted), asked, *[part(admitted) for part in parts])

    return key


def _parts(places: Places, shared: Shared) -> list[_Part]:
    parts: list[_Part] = []
    if looked_at(places, ("request", "headers")):
        headers = Headers(names_below(places, ("request", "headers")))
        parts.append(lambda admitted: headers.chosen(admitted.arrived.fields))
    if looked_at(places, ("certificate",)):
        parts.append(lambda admitted: shared.certificate(admitted.certificate))
    if looked_at(places, ("token",)):
        parts.append(lambda admitted: shared.token(admitted.token))
    return parts


def _query(places: Places) -> Callable[[str], Hashable | None]:
    """From a query to what the policy looks at of it; None where it cannot be read."""
    wanted = names_below(places, ("request", "query")) if looked_at(places, ("request", "query")) else frozenset()

    def read(text: str) -> Hashable | None:
        decoded = decode_query(text)
        if isinstance(decoded, Refusal):
            return None
        if wanted is None:
            return tuple([(name, tuple(values)) for name, values in decoded.items()])
        return tuple([(name, tuple(values)) for name, values in decoded.items() if name in wanted])

    return read
