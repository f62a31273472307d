"""The content of a request on its way out: counted against its declaration, or framed in chunks (RFC 9112 §7.1)."""


class Content:
    """Holds pieces until they are written.

    Args:
        length: octets as Content-Length declares them; None where chunks are written.
    """

    __slots__ = ("_left", "_pieces", "ended", "waiting")

    def __init__(self, length: int | None) -> None:
        self._left = length
        self._pieces: list[bytes] = []
        self.waiting = 0
        """Octets held."""
        self.ended = False

    def add(self, data: bytes) -> str | None:
        """Hold a piece; says what is wrong with it. More than declared would be read as another request."""
        if self.ended:
            return "content after its end"
        if self._left is None:
            self._pieces += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._left -= len(data)
            if self._left < 0:
                return "more content than the request declares"
            self._pieces.append(data)
        self.waiting += len(data)
        return None

    def end(self) -> str | None:
        """The content is complete; says so if it is not. Less than declared would swallow the next request."""
        if self._left:
            return "less content than the request declares"
        if self._left is None and not self.ended:
            self._pieces.append(b"0\r\n\r\n")
        self.ended = True
        return None

    def take(self) -> list[bytes]:
        """Everything held, to be written now."""
        pieces, self._pieces = self._pieces, []
        self.waiting = 0
        return pieces
