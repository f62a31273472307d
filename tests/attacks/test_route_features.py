"""What a route changes by itself opens no way around what was judged.

What is claimed: header rules set nothing that says who asks and bring nothing back that was stripped; a rewrite is no
other path than the one judged; a redirect leads nowhere but where the configuration says.
"""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.raw_server import RecordingClient, Scene, always, authorized, exchange
from ztproxy.config.moving import Redirect
from ztproxy.model import Reason, Refusal
from ztproxy.upstream.redirecting import location

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: x/1.0\r\nX-Frame-Options: ALLOW\r\nSet-Cookie: a=b\r\n\r\nok"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as made:
        yield made


async def test_a_rule_replaces_what_a_client_says_under_any_spelling(scene):
    server = await scene.start(always(OK))
    rules = {"request": {"set": {"X-Env": "prod"}, "add": {"Via": "z"}, "remove": ["X-Debug"]}}
    upstreams = scene.build(server.url, route={"headers": rules})
    sent = ((b"x-env", b"test"), (b"x.env", b"test"), (b"x-debug", b"1"), (b"via", b"client"), (b"x-other", b"1"))
    await exchange(upstreams, fields=sent)
    head = server.heads[0].lower()
    assert head.count(b"env: ") == 1
    assert b"\r\nx-env: prod\r\n" in head
    assert b"\r\nvia: client\r\n" in head
    assert b"\r\nvia: z\r\n" in head
    assert b"x-debug" not in head
    assert b"\r\nx-other: 1\r\n" in head


async def test_a_rule_brings_nothing_back_that_was_stripped(scene):
    server = await scene.start(always(OK))
    rules = {"request": {"remove": ["X-A"], "set": {"X-B": "1"}}}
    upstreams = scene.build(server.url, route={"headers": rules})
    posing = ((b"x-forwarded-user", b"root"), (b"remote-user", b"root"), (b"x-ztproxy-role", b"root"))
    await exchange(upstreams, fields=posing)
    assert b"root" not in server.heads[0]


async def test_ours_stand_once_whatever_a_route_sets(scene):
    server = await scene.start(always(OK))
    upstreams = scene.build(server.url, route={"headers": {"request": {"set": {"X-Env": "prod"}}}})
    await exchange(upstreams)
    head = server.heads[0].lower()
    for ours in (b"\r\nx-request-id: ", b"\r\nx-forwarded-for: ", b"\r\nx-forwarded-proto: ", b"\r\nhost: "):
        assert head.count(ours) == 1


async def test_a_response_is_changed_as_the_route_says(scene):
    server = await scene.start(always(OK))
    rules = {"response": {"set": {"X-Frame-Options": "DENY"}, "add": {"X-More": "1"}, "remove": ["Server"]}}
    client = await exchange(scene.build(server.url, route={"headers": rules}))
    assert client.fields == [(b"set-cookie", b"a=b"), (b"x-frame-options", b"DENY"), (b"x-more", b"1")]
    assert client.content == b"ok"


async def test_the_upstream_gets_the_rewritten_path_and_the_query_as_it_came(scene):
    server = await scene.start(always(OK))
    upstreams = scene.build(server.url, route={"paths": ["/api/"], "rewrite": {"prefix": "/api/", "to": "/v2/"}})
    await exchange(upstreams, path="/api/x%20y", segments=("api", "x y"), query="/api/=1", has_query=True)
    assert server.heads[0].startswith(b"GET /v2/x%20y?/api/=1 HTTP/1.1\r\n")


async def redirected(scene: Scene, redirect: dict, **request) -> RecordingClient:
    client = RecordingClient()
    upstreams = scene.build(route={"redirect": redirect})
    upstreams.forward(authorized(**request), client).send_end()
    return await client.done()


async def test_a_redirect_goes_where_the_configuration_says(scene):
    client = await redirected(
        scene, {"to": "https://new.test/home", "status": 302}, query="next=//evil", has_query=True
    )
    assert (client.status, client.length) == (302, 0)
    assert client.field(b"location") == [b"https://new.test/home"]


async def test_a_redirect_keeps_path_and_query_behind_its_host(scene):
    asked = {"path": "/a/b", "query": "x=https://evil.test", "has_query": True}
    client = await redirected(scene, {"to": "https://new.test", "keep": True}, **asked)
    assert (client.status, client.field(b"location")) == (308, [b"https://new.test/a/b?x=https://evil.test"])


HOSTILE = [
    "//evil.test",
    "/x\r\nSet-Cookie: a=b",
    "/\\evil.test",
    "@evil.test",
    ".evil.test",
    "/x y",
    "/é",
    "/x#y",
    ":1@e",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_what_should_never_have_arrived_leads_nowhere(path):
    answer = location(Redirect(to="https://new.test", keep=True), authorized(path=path))
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.INTERNAL_ERROR


@given(st.text(), st.text(), st.sampled_from(["https://new.test", "https://new.test/x/", "/moved/"]))
def test_no_request_leads_to_another_host(path, query, to):
    answer = location(Redirect(to=to, keep=True), authorized(path=path, query=query, has_query=bool(query)))
    if not isinstance(answer, Refusal):
        assert answer.startswith(to.rstrip("/").encode() + (b"/" if path else b""))
        assert not answer.startswith((b"//", b"/\\"))
        assert answer.isascii()
        assert not any(octet < 0x21 for octet in answer)
