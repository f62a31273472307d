"""A route that redirects instead of forwarding: what the policy let in is sent elsewhere.

The place is the configuration's own. What a request may add to it, its canonical path and query, stands behind a host
and a path that are written out, so that it can neither name another host nor split the head.
"""

import asyncio
import re
from collections.abc import Callable

from ztproxy.config.moving import Redirect
from ztproxy.exchange import Client
from ztproxy.model import Authorized, Reason, Refusal

_FIELDS = ((b"cache-control", b"private"),)
"""Who was let in may remember it; who stands between must not."""
_APPENDABLE = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,=:@%-]+)*/?(?:\?[\x21\x22\x24-\x7e]*)?")
"""A canonical path, and a query of visible ASCII without a fragment."""


def location(redirect: Redirect, authorized: Authorized) -> bytes | Refusal:
    """Where a request is sent."""
    if not redirect.keep:
        return redirect.to.encode("ascii")
    arrived = authorized.arrived
    rest = f"{arrived.path}?{arrived.query}" if arrived.has_query else arrived.path
    if not _APPENDABLE.fullmatch(rest) or rest.startswith("//"):
        return Refusal(Reason.INTERNAL_ERROR, cause="the request's target is not in its canonical form")
    return (redirect.to.rstrip("/") + rest).encode("ascii")


class Redirecting:
    """A `ztproxy.exchange.Server` that needs no server: it answers in the loop's next turn."""

    name = ""
    duration: float | None = None

    __slots__ = ("_authorized", "_client", "_ended", "_loop", "_redirect")

    def __init__(
        self, redirect: Redirect, authorized: Authorized, client: Client, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._redirect = redirect
        self._authorized = authorized
        self._client = client
        self._loop = loop
        self._ended = False

    def start(self) -> None:
        """Answer, soon: nothing is called back before this has returned."""
        self._loop.call_soon(self._answer)

    def send_body(self, data: bytes) -> None:
        """Content has nowhere to go."""

    def send_end(self) -> None:
        """Nor has its end."""

    def abort(self) -> None:
        """The client is gone."""
        self._ended = True

    def pause(self) -> None:
        """An answer without content needs no patience."""

    def resume(self) -> None:
        """Nor its contrary."""

    def _answer(self) -> None:
        if self._ended:
            return
        self._ended = True
        where = location(self._redirect, self._authorized)
        if isinstance(where, Refusal):
            self._client.refuse(where)
            return
        self._client.send_head(self._redirect.status, ((b"location", where), *_FIELDS), 0)
        self._client.send_end()


def redirecting(redirect: Redirect, loop: asyncio.AbstractEventLoop) -> Callable[[Authorized, Client], Redirecting]:
    """Begins each exchange of a route by sending it elsewhere."""

    def begin(authorized: Authorized, client: Client) -> Redirecting:
        return Redirecting(redirect, authorized, client, loop)

    return begin
