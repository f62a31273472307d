"""A plaintext listener that does nothing but send clients to https."""

from collections.abc import Callable, Coroutine
from typing import Any

from ztproxy.edge.authority import Authority
from ztproxy.model import Answer, Answered, Arrived, Outcome

_HTTPS = 443
_PERMANENT_REDIRECT = 308
"""Keeps the method (RFC 9110 §15.4.9): a POST repeated as GET would be another request."""


def redirecting(port: int) -> Callable[[Arrived], Coroutine[Any, Any, Outcome]]:
    """A pipeline that answers every request with the same address under https at `port`.

    Only a canonical request gets here, so Location holds a valid host and a path with one reading.
    """

    async def redirect(arrived: Arrived) -> Outcome:
        host = Authority.of(arrived.host, port).written(_HTTPS).decode()
        query = f"?{arrived.query}" if arrived.has_query else ""
        location = f"https://{host}{arrived.path}{query}".encode()
        return Answered(Answer(_PERMANENT_REDIRECT, ((b"location", location),), b""), arrived)

    return redirect
