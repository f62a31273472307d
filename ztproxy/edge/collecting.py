"""A request's content for the proxy itself: collected within bounds, in the place of an upstream."""

from collections.abc import Callable


class Collecting:
    """Takes content as `ztproxy.exchange.Server` does; who hands it on bounds it.

    Args:
        complete: is given the content once all of it has come.
    """

    __slots__ = ("_complete", "_pieces", "duration", "name")

    def __init__(self, complete: Callable[[bytes], None]) -> None:
        self.name = ""
        self.duration: float | None = None
        self._complete: Callable[[bytes], None] | None = complete
        self._pieces: list[bytes] = []

    def send_body(self, data: bytes) -> None:
        """Content of the request."""
        self._pieces.append(data)

    def send_end(self) -> None:
        """The content is complete."""
        complete, self._complete = self._complete, None
        if complete is not None:
            complete(b"".join(self._pieces))

    def abort(self) -> None:
        """Nobody waits for an answer any more."""
        self._complete = None
        self._pieces.clear()

    def pause(self) -> None:
        """An answer of ours is short: it waits for nobody."""

    def resume(self) -> None:
        """Likewise."""
