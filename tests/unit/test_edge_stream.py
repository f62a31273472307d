from math import inf

import pytest

from tests.pki import Authority
from tests.raw_server import authorized, certificate, token
from ztproxy.edge.stream import stream_of
from ztproxy.edge.websocket import CloseCode
from ztproxy.model import Reason

BEGAN = 1_700_000_000.0


def opened(lifetime: float | None = None, leeway: float = 0.0, **by):
    return stream_of(authorized(**by), "websocket", BEGAN, lifetime, leeway)


def test_nothing_ends_a_stream_that_nobody_is_known_for():
    assert opened().ending.at == inf


def test_it_ends_with_its_token_as_late_as_that_was_let_in():
    stream = opened(leeway=30, token=token(expires_at=BEGAN + 60))
    assert (stream.ending.at, stream.ending.refusal.reason) == (BEGAN + 90, Reason.TOKEN_EXPIRED)
    assert stream.ending.code is CloseCode.POLICY_VIOLATION


@pytest.mark.parametrize(
    ("not_after", "expires_at", "lifetime", "reason"),
    [
        (10, 20, 30, Reason.CERTIFICATE_EXPIRED),
        (20, 10, 30, Reason.TOKEN_EXPIRED),
        (30, 20, 10, Reason.UPSTREAM_TIMEOUT),
    ],
)
def test_the_first_end_counts(not_after, expires_at, lifetime, reason):
    shown = certificate(Authority.new().issue("alice"), not_after=BEGAN + not_after)
    stream = opened(lifetime, certificate=shown, token=token(expires_at=BEGAN + expires_at))
    assert (stream.ending.at, stream.ending.refusal.reason) == (BEGAN + 10, reason)


def test_whose_it_is():
    shown = certificate(Authority.new().issue("alice"))
    assert opened().identity == ("app", "source", "192.0.2.7")
    assert opened(certificate=shown).identity == ("app", "certificate", shown.fingerprint)
    assert opened(certificate=shown, token=token()).identity == ("app", "token", "https://idp.test", "alice")
    assert opened(token=token(issuer="https://other.test")).identity != opened(token=token()).identity
