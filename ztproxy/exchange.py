"""The seam between the edge and the upstream: how one exchange's bytes flow once it is authorised.

The edge implements `Client`, the upstream implements `Server`; each calls the other's methods directly on the
event loop. Neither knows the other's protocol: what is HTTP/1.1 stays behind its side of this seam. No method raises or
blocks.
"""

from collections.abc import Sequence
from typing import Protocol

from ztproxy.model import Authorized, Refusal


class Client(Protocol):
    """The client's side of an exchange, as the upstream sees it.

    Order of calls: either `refuse` alone, or `send_head`, any number of `send_body`, then `send_end` or `abort`; or
    `send_switch`, any number of `send_octets`, then `send_end` or `abort`.
    """

    def send_interim(self, status: int, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Pass an interim response on (RFC 9110 §15.2); any number before everything else, and never 100 or 101."""

    def send_head(self, status: int, fields: Sequence[tuple[bytes, bytes]], length: int | None) -> None:
        """Begin the response; `length` octets follow, None: unknown.

        `fields` are end-to-end fields; framing and what the edge itself sets are added there.
        """

    def send_switch(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Answer 101 and let raw octets through both ways from here on."""

    def send_body(self, data: bytes) -> None:
        """Send content on. When the client reads too slowly the edge calls `Server.pause`."""

    def send_octets(self, data: bytes) -> None:
        """After a switch: octets of the new protocol, as they are; likewise."""

    def send_end(self) -> None:
        """The response is complete; after a switch: the server has closed."""

    def refuse(self, refusal: Refusal) -> None:
        """Nothing of a response was sent: answer with this refusal instead."""

    def abort(self, cause: str) -> None:
        """The response broke off after its head was sent: the client must see that it is incomplete."""

    def pause(self) -> None:
        """Stop handing over the request's content until `resume`."""

    def resume(self) -> None:
        """Go on handing over the request's content."""


class Server(Protocol):
    """The upstream's side of an exchange, as the edge sees it.

    Order of calls: any number of `send_body`, then `send_end` once (also when there is no content) or `abort`.
    After a switch of protocols `send_body` passes raw octets and `send_end` means that the client closed its side; the
    server may still have something to say.
    Calls after the end of the exchange are ignored.
    """

    name: str
    """The server that answers, as configured; for the access log. Empty until one is chosen."""
    duration: float | None
    """Seconds from the first octet written to the end of the response; None while under way."""

    def send_body(self, data: bytes) -> None:
        """Content of the request. When the server reads too slowly the upstream calls `Client.pause`."""

    def send_end(self) -> None:
        """The request's content is complete."""

    def abort(self) -> None:
        """The client is gone: give the exchange up, and never reuse a connection that is in the middle of one."""

    def pause(self) -> None:
        """Stop handing over the response's content until `resume`."""

    def resume(self) -> None:
        """Go on handing over the response's content."""


class Forward(Protocol):
    """How the edge hands an authorised request to the upstream."""

    def __call__(self, authorized: Authorized, client: Client) -> Server:
        """Begin forwarding; returns at once."""
