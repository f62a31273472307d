"""The input document: what a policy gets to see of a request (DESIGN §3, docs/policy-input.md).

It is written straight to JSON. Of an engine that is known to look at some places alone, only those are written: nothing
is decoded, encoded and parsed that nobody reads.
"""

import msgspec

from ztproxy.model import Admitted, Refusal
from ztproxy.policy.headers import Headers
from ztproxy.policy.places import EVERYTHING, Places, looked_at, names_below
from ztproxy.policy.query import decode_query
from ztproxy.policy.shared import Shared

_Raw = msgspec.Raw
_encode = msgspec.json.Encoder().encode


class _Request(msgspec.Struct, frozen=True, gc=False):
    id: str
    method: str
    scheme: str
    host: str
    port: int
    path: str
    segments: tuple[str, ...]
    query: dict[str, list[str]]
    headers: dict[str, list[str]]
    route: str
    protocol: str


class _Source(msgspec.Struct, frozen=True, gc=False):
    address: str | None
    port: int | None
    peer: str | None


class _Input(msgspec.Struct, frozen=True, gc=False):
    request: _Request
    source: _Source
    tls: msgspec.Raw
    certificate: msgspec.Raw
    token: msgspec.Raw


class Documents:
    """Writes input documents.

    Args:
        places: what of it is looked at. What costs much is not written where it is not: it is empty then, or null.
        shared: writes what requests share, for the same places.
    """

    def __init__(self, places: Places = EVERYTHING, shared: Shared | None = None) -> None:
        self._shared = shared or Shared(places)
        self._headers = Headers(names_below(places, ("request", "headers")))
        self._sees_headers = looked_at(places, ("request", "headers"))
        self._sees_segments = looked_at(places, ("request", "segments"))
        self._sees_certificate = looked_at(places, ("certificate",))
        self._sees_token = looked_at(places, ("token",))

    def write(self, admitted: Admitted) -> bytes | Refusal:
        """The document of one request, JSON.

        Refuses with REQUEST_TOO_LARGE (more query parameters than a document holds), REQUEST_AMBIGUOUS (a query that
        two decoders could read differently) or TOKEN_MALFORMED (claims that JSON cannot say).
        """
        arrived = admitted.arrived
        connection = arrived.connection
        query: dict[str, list[str]] | Refusal = decode_query(arrived.query) if arrived.query else {}
        if isinstance(query, Refusal):
            return query
        shared = self._shared
        token = shared.token(admitted.token if self._sees_token else None)
        if isinstance(token, Refusal):
            return token
        direct = arrived.source == connection.peer
        return _encode(
            _Input(
                _Request(
                    arrived.request_id,
                    arrived.method,
                    arrived.scheme,
                    arrived.host,
                    arrived.port,
                    arrived.path,
                    arrived.segments if self._sees_segments else (),
                    query,
                    self._headers.read(arrived.fields) if self._sees_headers else {},
                    admitted.route,
                    arrived.protocol,
                ),
                _Source(
                    arrived.source or None, (connection.peer_port or None) if direct else None, connection.peer or None
                ),
                _Raw(shared.tls(connection.tls)),
                _Raw(shared.certificate(admitted.certificate if self._sees_certificate else None)),
                _Raw(token),
            )
        )
