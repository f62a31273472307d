"""The fields that tell an upstream about the client: made once for an identity on a route, then remembered."""

import base64
from collections import OrderedDict

from ztproxy.model import Authorized, Refusal, Token
from ztproxy.upstream.assertion import Assertions

_REMEMBERED = 1024
_NEVER = float("inf")

_Key = tuple[str, str, str, str, bytes, str | None, bytes | None]


class Statements:
    """Writes X-Forwarded-For, -Proto, -Host, X-Ztproxy-Assertion and Client-Cert (RFC 9440), as octets of a head.

    Everything that the octets are made of is in the key they are remembered under, or in the very token beside them.
    """

    def __init__(self, assertions: Assertions | None) -> None:
        self._assertions = assertions
        self._made: OrderedDict[_Key, tuple[float, float, bytes, Token | None]] = OrderedDict()

    def of(self, authorized: Authorized) -> bytes | Refusal:
        """Field lines, each with its line end; refuses with ASSERTION_TOO_LARGE what does not fit."""
        arrived = authorized.arrived
        certificate, token = authorized.certificate, authorized.token
        key = (
            authorized.route,
            arrived.source,
            arrived.connection.peer,
            arrived.scheme,
            arrived.authority,
            None if certificate is None else certificate.fingerprint,
            None if token is None else token.digest,
        )
        now = arrived.wall
        known = self._made.get(key)
        if known is not None and known[0] <= now < known[1] and known[3] is token:
            return known[2]
        written = self._write(authorized)
        if isinstance(written, Refusal):
            return written
        lines, remade = written
        self._made[key] = (now, remade, lines, token)
        self._made.move_to_end(key)
        if len(self._made) > _REMEMBERED:
            self._made.popitem(last=False)
        return lines

    def _write(self, authorized: Authorized) -> tuple[bytes, float] | Refusal:
        arrived = authorized.arrived
        lines = []
        if arrived.source:  # none on a Unix socket
            peer = arrived.connection.peer
            path = arrived.source if peer in ("", arrived.source) else f"{arrived.source}, {peer}"
            lines.append(b"X-Forwarded-For: %b\r\n" % path.encode("ascii"))
        lines.append(b"X-Forwarded-Proto: %b\r\n" % arrived.scheme.encode("ascii"))
        lines.append(b"X-Forwarded-Host: %b\r\n" % arrived.authority)
        remade = _NEVER
        if self._assertions is not None:
            made = self._assertions.of(authorized)
            if isinstance(made, Refusal):
                return made
            if made is not None:
                lines.append(b"X-Ztproxy-Assertion: %b\r\n" % made[0])
                remade = made[1]
        if authorized.certificate is not None:
            lines.append(b"Client-Cert: :%b:\r\n" % base64.b64encode(authorized.certificate.der))
        return b"".join(lines), remade
