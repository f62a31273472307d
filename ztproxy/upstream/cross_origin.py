"""Responses on a route that says who may read them: its word stands, the upstream's is dropped."""

import msgspec

from ztproxy.config.cross_origin import Cors, readers
from ztproxy.model import Authorized, Refusal
from ztproxy.upstream.changing import Change, ChangingClient, Sent

_PREFIX = b"access-control-"


def by_origin(cors: Cors) -> Change:
    """What CORS makes of a response's fields."""
    said = readers(cors)

    def change(authorized: Authorized, fields: Sent) -> Sent:
        return [*(field for field in fields if not field[0].startswith(_PREFIX)), *said(authorized.arrived.fields)]

    return change


class ReadableClient(ChangingClient):
    """Tells of an upstream's failure readably too."""

    __slots__ = ()

    def refuse(self, refusal: Refusal) -> None:
        """The refusal, and who may read it."""
        fields = tuple(self._change(self._authorized, refusal.fields))
        self._client.refuse(msgspec.structs.replace(refusal, fields=fields))
