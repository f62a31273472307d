"""What a route changes of the responses that it hands to clients; made only where a route changes anything."""

from collections.abc import Callable, Sequence

from ztproxy.config.believed import fold
from ztproxy.config.header_rules import Rules
from ztproxy.exchange import Client
from ztproxy.model import Authorized, Refusal

Sent = Sequence[tuple[bytes, bytes]]
Change = Callable[[Authorized, Sent], Sent]


class ChangingClient:
    """A `ztproxy.exchange.Client` that hands everything on, and response heads changed.

    Args:
        client: who gets it.
        authorized: the request.
        change: makes the fields that the client sees.
    """

    __slots__ = ("_authorized", "_change", "_client")

    def __init__(self, client: Client, authorized: Authorized, change: Change) -> None:
        self._client = client
        self._authorized = authorized
        self._change = change

    def send_interim(self, status: int, fields: Sent) -> None:
        """The head as the route would have it."""
        self._client.send_interim(status, self._change(self._authorized, fields))

    def send_head(self, status: int, fields: Sent, length: int | None) -> None:
        """The head as the route would have it."""
        self._client.send_head(status, self._change(self._authorized, fields), length)

    def send_switch(self, fields: Sent) -> None:
        """A switch is between the two ends: nothing is changed."""
        self._client.send_switch(fields)

    def send_body(self, data: bytes) -> None:
        """As it is."""
        self._client.send_body(data)

    def send_octets(self, data: bytes) -> None:
        """As they are."""
        self._client.send_octets(data)

    def send_end(self) -> None:
        """As it is."""
        self._client.send_end()

    def refuse(self, refusal: Refusal) -> None:
        """Refusals are the proxy's own."""
        self._client.refuse(refusal)

    def abort(self, cause: str) -> None:
        """As it is."""
        self._client.abort(cause)

    def pause(self) -> None:
        """As it is."""
        self._client.pause()

    def resume(self) -> None:
        """As it is."""
        self._client.resume()


def by_rules(rules: Rules) -> Change:
    """What header rules make of a response's fields; names are compared as CGI and its kin would see them."""
    replaced, put = rules.replaced, list(rules.fields)

    def change(_: Authorized, fields: Sent) -> Sent:
        return [field for field in fields if fold(field[0]) not in replaced] + put

    return change
