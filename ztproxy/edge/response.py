"""A response on its way to the client: its head, its framing, and how much of it went out."""

from collections.abc import Sequence

from ztproxy.edge.response_head import WITHOUT_CONTENT, render_head
from ztproxy.edge.site import Site
from ztproxy.edge.wire import Wire

SWITCHING_PROTOCOLS = 101


class Response:
    """Writes one response to one request (RFC 9112 §6). The class holds the defaults."""

    is_head = False
    """The request's method was HEAD: no content follows."""
    version_11 = True
    """The client speaks HTTP/1.1, so understands chunks."""
    persistent = True
    """The connection lives on after this response."""
    status = 0
    """What was sent; 0 before."""
    sent = 0
    """Octets of content sent."""
    switched = False
    _bodiless = False
    _chunked = False
    _left: int | None = None

    def __init__(self, wire: Wire, site: Site, request_id: str) -> None:
        self.wire = wire
        self.site = site
        self.request_id = request_id

    @property
    def framed(self) -> bool:
        """The client can see whether the response is complete."""
        return self._chunked or self._left is not None

    def write_head(self, status: int, fields: Sequence[tuple[bytes, bytes]], length: int | None) -> None:
        """Begin; None: of unknown length."""
        self.status = status
        framing = b""
        if self.is_head or status in WITHOUT_CONTENT:
            self._bodiless = True
            self._left = 0
            if length is not None and self.is_head and status not in WITHOUT_CONTENT:
                framing = b"Content-Length: %d\r\n" % length
        elif length is not None:
            self._left = length
            framing = b"Content-Length: %d\r\n" % length
        elif self.version_11:
            self._chunked = True
            framing = b"Transfer-Encoding: chunked\r\n"
        else:
            self.persistent = False
        self.wire.write(self._head(status, fields, framing if self.persistent else framing + b"Connection: close\r\n"))

    def write_switch(self, protocol: str, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Agree to speak another protocol (RFC 9110 §7.8)."""
        self.status = SWITCHING_PROTOCOLS
        self.switched = True
        self.persistent = False
        agreed = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol.encode("ascii")
        self.wire.write(self._head(SWITCHING_PROTOCOLS, fields, agreed))

    def write_content(self, data: bytes) -> bool:
        """Send content on; False when it is more than was announced."""
        if self._bodiless:
            return True
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                return False
        self.sent += len(data)
        self.wire.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        return True

    def write_end(self) -> bool:
        """The response is complete; False when it is less than was announced."""
        if self._left:
            return False
        if self._chunked:
            self.wire.write(b"0\r\n\r\n")
        return True

    def _head(self, status: int, fields: Sequence[tuple[bytes, bytes]], framing: bytes) -> bytes:
        site = self.site
        ours = b"%bX-Request-Id: %b\r\n%b" % (framing, self.request_id.encode(), site.set_always)
        return render_head(status, fields, ours, site.left_out, site.date)
