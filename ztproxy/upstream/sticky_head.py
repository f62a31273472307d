"""The head of a request on a route with a sticky cookie: that cookie is ours and goes no further."""

from ztproxy.config.routes import Route
from ztproxy.model import Authorized, Refusal
from ztproxy.upstream.head import RequestHead
from ztproxy.upstream.statement import Statements
from ztproxy.upstream.sticky import StickyCookie

_END = b"\r\n"


class StickyHead(RequestHead):
    """Writes heads without the cookie.

    Args:
        route: the route.
        statements: the fields that tell about the client.
        cookie: the cookie.
    """

    def __init__(self, route: Route, statements: Statements, cookie: StickyCookie) -> None:
        super().__init__(route, statements)
        self._cookie = cookie
        self._passes = not self._dropped[b"cookie"]
        self._dropped[b"cookie"] = True

    def write(self, authorized: Authorized, host: bytes) -> bytes | Refusal:
        """The head; a client's other cookies stand at its end."""
        head = super().write(authorized, host)
        if isinstance(head, Refusal) or not self._passes:
            return head
        lines = [b"cookie: %b\r\n" % value for value in self._cookie.others(authorized.arrived.fields)]
        return b"".join((head.removesuffix(_END), *lines, _END)) if lines else head
