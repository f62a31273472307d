"""Why an exchange whose connection was lost is refused: a server that refuses our certificate may only reset."""

import ssl

import pytest

from ztproxy.model import Reason
from ztproxy.upstream.connection import Connection
from ztproxy.upstream.forwarding import _lost

RESET = ConnectionResetError(104, "Connection reset by peer")


class Owner:
    def lost(self, connection):
        pass


@pytest.mark.parametrize(
    ("error", "tls", "reused", "reason"),
    [
        (RESET, True, False, Reason.UPSTREAM_TLS_FAILED),
        (RESET, True, True, Reason.UPSTREAM_UNREACHABLE),
        (RESET, False, False, Reason.UPSTREAM_UNREACHABLE),
        (ssl.SSLError("alert"), True, True, Reason.UPSTREAM_TLS_FAILED),
        (None, True, False, Reason.UPSTREAM_UNREACHABLE),
    ],
)
def test_before_an_answer_began(error, tls, reused, reason):
    connection = Connection(Owner(), 1.0)
    connection.reused = reused
    assert _lost(connection, error, tls=tls)[0] is reason


def test_once_it_began_it_is_the_protocol():
    connection = Connection(Owner(), 1.0)
    connection.reader.feed(b"HTTP/1.1 ")
    assert _lost(connection, RESET, tls=True)[0] is Reason.UPSTREAM_PROTOCOL_ERROR
