"""The cookie that leads a client back to its server: a keyed hash of the server's name, ours alone.

Whoever lacks the key can name no server by it, and reads no address out of it. What is no server's hash, or stands
there twice, counts as absent.
"""

import base64
import hmac
from collections.abc import Sequence

from ztproxy.config.upstreams import Sticky
from ztproxy.model import Fields

_LENGTH = 22
"""Characters of base64: 132 bits."""
_LONGEST_FIELD = 16 * 1024
"""Octets of a Cookie field that are looked at."""

ResponseFields = list[tuple[bytes, bytes]]


class StickyCookie:
    """Reads the cookie off requests, keeps it from upstreams, and sets it.

    Args:
        sticky: how it is configured.
        secret: the hash's key.
        servers: the servers' names, in the configuration's order.
    """

    def __init__(self, sticky: Sticky, secret: bytes, servers: Sequence[str]) -> None:
        self._name = sticky.cookie.encode("ascii")
        self._values = tuple(_hash(secret, server) for server in servers)
        self._servers = {value: index for index, value in enumerate(self._values)}  # found by a hash of the whole value
        lifetime = "" if sticky.lifetime is None else f"; Max-Age={int(sticky.lifetime)}"
        self._attributes = f"; Path=/; Secure; HttpOnly; SameSite={sticky.same_site}{lifetime}".encode("ascii")

    def named(self, fields: Fields) -> int | None:
        """The index of the server that a request's cookie names; None where it names none, or does so twice."""
        found = [
            value
            for name, field in fields
            if name == b"cookie" and self._name in field and len(field) <= _LONGEST_FIELD
            for cookie, _, value in (pair.strip(b" \t").partition(b"=") for pair in field.split(b";"))
            if cookie.rstrip(b" \t") == self._name
        ]
        return self._servers.get(found[0]) if len(found) == 1 else None

    def others(self, fields: Fields) -> list[bytes]:
        """The values of a request's Cookie fields without ours."""
        left = []
        for name, field in fields:
            if name != b"cookie":
                continue
            if self._name not in field:
                left.append(field)
                continue
            pairs = [pair.strip(b" \t") for pair in field.split(b";")]
            kept = [pair for pair in pairs if pair and pair.partition(b"=")[0].rstrip(b" \t") != self._name]
            if kept:
                left.append(b"; ".join(kept))
        return left

    def keep(self, fields: ResponseFields) -> ResponseFields:
        """A response's fields without what an upstream set under our name."""
        return [field for field in fields if not (field[0] == b"set-cookie" and self._is_ours(field[1]))]

    def set(self, index: int) -> tuple[bytes, bytes]:
        """The field that leads a client to this server from now on."""
        return (b"set-cookie", b"%b=%b%b" % (self._name, self._values[index], self._attributes))

    def _is_ours(self, value: bytes) -> bool:
        # Browsers keep `=NAME=x` as a cookie without a name, and send it back as `NAME=x`.
        return value.partition(b";")[0].lstrip(b" \t=").partition(b"=")[0].rstrip(b" \t") == self._name


def _hash(secret: bytes, server: str) -> bytes:
    digest = hmac.digest(secret, b"ztproxy sticky server\0" + server.encode(), "sha256")
    return base64.urlsafe_b64encode(digest)[:_LENGTH]
