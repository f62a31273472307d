"""A proof is read by the proxy and by nobody behind it, and what is told about it is told by the proxy alone."""

import msgspec
import pytest

from tests.edge import Edge, get
from tests.fakes import RecordingForward, RecordingPipeline, allow
from tests.raw_server import authorized
from ztproxy.config.routes import Route
from ztproxy.policy.document import Documents
from ztproxy.policy.reference import example
from ztproxy.routing.preflight import is_question
from ztproxy.upstream.head import RequestHead
from ztproxy.upstream.response_fields import PASS, Names
from ztproxy.upstream.statement import Statements

SPELLINGS = [b"DPoP", b"dpop", b"DPOP", b"dPoP"]
TOLD = (b"dpop-nonce", b"next")
ROUTE = Route(name="app", hosts=("*",), require=(), forward_token=True, upstream={"servers": ("http://h",)})


@pytest.mark.parametrize("name", SPELLINGS)
async def test_it_is_taken_out_of_the_fields(name):
    edge = Edge()
    edge.send(get(b"/", name + b": one ", b"Accept: */*", b"Connection: dpop, DPoP", name.swapcase() + b": two"))
    (arrived,) = edge.arrived
    assert arrived.unverified_proofs == (b"one", b"two")
    assert arrived.fields == ((b"accept", b"*/*"),)


@pytest.mark.parametrize("name", [b"D_PoP", b"DPoP_", b"_dpop"])
async def test_what_others_would_take_for_it_goes(name):
    edge = Edge()
    edge.send(get(b"/", name + b": one"))
    (arrived,) = edge.arrived
    assert arrived.unverified_proofs == () == arrived.fields


async def test_the_next_request_has_its_own():
    edge = Edge()
    for lines in ((b"DPoP: one",), (b"DPoP: one",), (b"DPoP: two",), ()):
        edge.send(get(b"/", *lines))
    assert [one.unverified_proofs for one in edge.arrived] == [(b"one",), (b"one",), (b"two",), ()]


def test_it_does_not_go_to_the_upstream():
    head = RequestHead(ROUTE, Statements(None)).write(authorized(unverified_proofs=(b"secret",)), b"h")
    assert b"secret" not in head
    assert b"dpop" not in head.lower()


def test_it_is_not_in_the_policy_s_input():
    admitted = example()
    arrived = msgspec.structs.replace(admitted.arrived, unverified_proofs=(b"secret",), fields=((b"dpop", b"secret"),))
    assert b"secret" not in Documents().write(msgspec.structs.replace(admitted, arrived=arrived))


def test_a_request_that_brings_one_is_no_bare_preflight():
    fields = ((b"origin", b"https://a"), (b"access-control-request-method", b"GET"))
    bare = msgspec.structs.replace(example().arrived, method="OPTIONS", fields=fields, unverified_authorization=())
    assert is_question(bare)
    assert not is_question(msgspec.structs.replace(bare, unverified_proofs=(b"one",)))


def test_an_upstream_s_nonce_reaches_no_client():
    """Clients would make their proofs for us with it."""
    names = Names()
    assert all(names[name][1] != PASS for name in (b"DPoP-Nonce", b"dpop-nonce"))


def telling(arrived):
    return msgspec.structs.replace(allow(arrived), response_fields=(TOLD,))


@pytest.mark.parametrize("status", [200, 204, 404, 500])
async def test_the_client_is_told_beside_whatever_the_upstream_says(status):
    forward = RecordingForward(lambda server: server.respond(status, ((b"server", b"x"),), b""))
    answer = Edge(RecordingPipeline(telling), forward).send(get())
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"dpop-nonce: next\r\n") == 1
    assert b"server: x\r\n" in answer


async def test_and_nobody_else():
    edge = Edge(RecordingPipeline(lambda arrived: telling(arrived) if arrived.path == "/told" else allow(arrived)))
    assert b"dpop-nonce" in edge.send(get(b"/told"))
    assert b"dpop-nonce" not in edge.send(get(b"/"))
