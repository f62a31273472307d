"""An upstream reads who asks from nobody but us: whatever a client or a policy sends in our place does not leave."""

import time
from base64 import b64encode
from hashlib import sha256

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pki import Authority
from tests.raw_server import CONNECTION, Scene, always, authorized, certificate, exchange, settings, token
from ztproxy.config.routes import Route
from ztproxy.config.settings import Assertion
from ztproxy.model import Connection, Reason, Refusal
from ztproxy.upstream import Upstreams
from ztproxy.upstream.assertion import Assertions, Telling
from ztproxy.upstream.head import RequestHead
from ztproxy.upstream.key_ring import KeyRing
from ztproxy.upstream.signing_key import load_or_create
from ztproxy.upstream.statement import Statements

CA = Authority.new("Clients")
ALICE, BOB = certificate(CA.issue("alice")), certificate(CA.issue("bob"))
HOST = b"10.0.0.5:8080"


def route(**changes) -> Route:
    plain = {"name": "app", "hosts": ["*"], "require": [], "upstream": {"servers": ["http://10.0.0.5:8080"]}}
    return Route.model_validate(plain | changes)


def written(assertions: Assertions | None = None, of: Route | None = None, **request) -> list[tuple[str, str]]:
    """The fields of the head that leaves, names in lower case; the request line under `""`."""
    head = RequestHead(of or route(), Statements(assertions)).write(authorized(**request), HOST)
    assert not isinstance(head, Refusal), head
    assert head.endswith(b"\r\n\r\n")
    lines = head[:-4].decode("latin-1").split("\r\n")
    return [("", lines[0]), *((name.lower(), value) for name, value in (line.split(": ", 1) for line in lines[1:]))]


def values(fields: list[tuple[str, str]], name: str) -> list[str]:
    return [value for known, value in fields if known == name]


@pytest.fixture
def assertions(tmp_path):
    ring = KeyRing([(0.0, load_or_create(tmp_path / "assertion.key"))], b"")
    return Assertions(ring, "https://gateway.test", 60.0, {name: Telling(name) for name in ("app", "other")})


POSING = [
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-user", "x-forwarded-client-cert",
    "forwarded", "x-real-ip", "x-request-id", "x-ztproxy-assertion", "x-ztproxy-anything", "client-cert",
    "client-cert-chain", "x_forwarded_for", "client_cert", "x.forwarded.for", "remote-user", "x-remote-user",
    "x-auth-request-email", "x-client-cert", "x-ssl-client-verify", "x-original-url", "x-rewrite-url",
    "x-http-method-override", "authorization", "proxy-authorization", "x-role", "x.role", "proxy", "some_name",
]  # fmt: skip
FRAMING = [
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "host",
    "keep-alive",
]


@pytest.mark.parametrize("name", POSING + FRAMING)
def test_no_field_of_a_client_leaves_in_our_place(name):
    fields = written(of=route(policy_headers=["X-Role"]), fields=((name.encode(), b"EVIL"), (b"x-kept", b"1")))
    assert all("EVIL" not in value for _, value in fields)
    assert values(fields, "x-kept") == ["1"]


def test_what_another_route_keeps_is_not_for_this_one():
    believed = ((b"x-remote-user", b"EVIL"), (b"x.remote.user", b"EVIL"))
    assert "EVIL" not in str(written(fields=believed))
    assert values(written(of=route(keep_headers=["X-Remote-User"]), fields=believed[:1]), "x-remote-user") == ["EVIL"]


def test_no_route_can_keep_what_is_ours():
    fields = written(
        of=route(keep_headers=["X-Ztproxy-Assertion", "Client-Cert", "X-Forwarded-For", "Transfer-Encoding"]),
        fields=((b"x-ztproxy-assertion", b"EVIL"), (b"client-cert", b"EVIL"), (b"transfer-encoding", b"EVIL")),
    )
    assert "EVIL" not in str(fields)


def test_what_is_said_of_the_client(assertions):
    fields = written(assertions, certificate=ALICE, token=token())
    assert values(fields, "x-forwarded-for") == ["192.0.2.7"]
    assert values(fields, "x-forwarded-proto") == ["https"]
    assert values(fields, "x-forwarded-host") == ["app.test"]
    assert values(fields, "x-request-id") == ["req-1"]
    assert values(fields, "host") == [HOST.decode()]
    assert values(fields, "client-cert") == [f":{b64encode(ALICE.der).decode()}:"]
    assert len(values(fields, "x-ztproxy-assertion")) == 1
    assert values(fields, "authorization") == []


def test_a_trusted_proxy_in_between_is_named_after_the_client():
    fields = written(source="203.0.113.9")
    assert values(fields, "x-forwarded-for") == ["203.0.113.9, 192.0.2.7"]


def test_a_unix_socket_has_no_address_to_tell():
    unix = Connection("unix:/run/x", "http", "", 0, 0)
    assert values(written(source="", connection=unix), "x-forwarded-for") == []


def test_the_clients_host_is_sent_only_where_the_route_says_so():
    upstream = {"servers": ["http://10.0.0.5:8080"], "preserve_host": True}
    assert values(written(of=route(upstream=upstream)), "host") == ["app.test"]


@pytest.mark.parametrize(
    "changes",
    [
        {"certificate": BOB, "token": token()},
        {"certificate": None, "token": token()},
        {"certificate": ALICE, "token": token("bob")},
        {"certificate": ALICE, "token": token(issuer="https://other.test")},
        {"certificate": ALICE, "token": None},
        {"certificate": ALICE, "token": token(), "route": "other"},
        {"certificate": ALICE, "token": token(), "source": "203.0.113.9"},
        {"certificate": ALICE, "token": token(), "authority": b"other.test"},
        {"certificate": None, "token": None},
    ],
)
def test_what_is_remembered_of_one_identity_is_never_said_of_another(assertions, changes):
    statements = Statements(assertions)
    alice = authorized(certificate=ALICE, token=token())
    first = statements.of(alice)
    other = statements.of(authorized(**changes))
    assert first != other
    assert other == Statements(assertions).of(authorized(**changes))
    assert statements.of(alice) == first


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Undeclared", b"1"),
        (b"X-Role", b"a\r\nX-Ztproxy-Assertion: forged"),
        (b"X-Role", b"a\x00b"),
        (b"X-Role\r\nX-Evil", b"1"),
        (b"X_Role", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Content-Length", b"5"),
        (b"Host", b"evil"),
        (b"X-Ztproxy-Assertion", b"forged"),
        (b"Client-Cert", b"forged"),
    ],
)
def test_a_decision_sets_nothing_but_what_is_declared(name, value):
    declared = ["X-Role", "Transfer-Encoding", "Content-Length", "Host", "X-Ztproxy-Assertion", "Client-Cert"]
    head = RequestHead(route(policy_headers=declared), Statements(None)).write(
        authorized(headers=((name, value),)), HOST
    )
    assert isinstance(head, Refusal)
    assert head.reason is Reason.POLICY_MALFORMED


def test_a_decision_sets_what_is_declared():
    fields = written(of=route(policy_headers=["X-Role"]), headers=((b"X-Role", b"admin"),))
    assert values(fields, "x-role") == ["admin"]


async def test_a_head_that_is_refused_never_leaves():
    async with Scene() as scene:
        server = await scene.start(always(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        upstreams = scene.build(server.url)
        await exchange(upstreams)
        client = await exchange(upstreams, headers=((b"X-Undeclared", b"1"),))
        assert client.refusal is not None
        assert client.refusal.reason is Reason.POLICY_MALFORMED
        assert len(server.heads) == 1


BEARER = b"abc.def.ghi"


def test_the_token_is_passed_on_only_where_the_route_says_so():
    known = token(digest=sha256(BEARER).digest())
    request = {"token": known, "unverified_authorization": (b"bearer  " + BEARER,)}
    assert values(written(**request), "authorization") == []
    forwarding = route(forward_token=True)
    assert values(written(of=forwarding, **request), "authorization") == ["Bearer abc.def.ghi"]


@pytest.mark.parametrize(
    "changes",
    [
        {"token": None},
        {"unverified_authorization": (b"Bearer other",)},
        {"unverified_authorization": (b"Basic abc.def.ghi",)},
        {"unverified_authorization": (b"Bearer abc.def.ghi", b"Bearer abc.def.ghi")},
        {"unverified_authorization": ()},
    ],
)
def test_only_the_token_that_was_verified_is_passed_on(changes):
    known = {"token": token(digest=sha256(BEARER).digest()), "unverified_authorization": (b"Bearer " + BEARER,)}
    assert values(written(of=route(forward_token=True), **(known | changes)), "authorization") == []


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/ä", "/a\x7f"])
def test_a_target_that_could_be_read_differently_never_leaves(path):
    head = RequestHead(route(), Statements(None)).write(authorized(path=path), HOST)
    assert isinstance(head, Refusal)
    assert head.reason is Reason.INTERNAL_ERROR


@pytest.mark.parametrize("length", [5, None])
def test_a_request_to_switch_protocols_with_content_never_leaves(length):
    """Its content would be read as another request."""
    head = RequestHead(route(), Statements(None)).write(authorized(upgrade="websocket", content_length=length), HOST)
    assert isinstance(head, Refusal)
    assert head.reason is Reason.REQUEST_AMBIGUOUS


def test_the_query_leaves_as_it_came():
    assert written(query="", has_query=True)[0][1] == "GET /x? HTTP/1.1"
    assert written(query="a=1&a=%32", has_query=True)[0][1] == "GET /x?a=1&a=%32 HTTP/1.1"


@pytest.mark.slow
@given(st.lists(st.tuples(st.from_regex(rb"[!#$%&'*+.^_`|~0-9a-z-]{1,20}", fullmatch=True), st.just(b"EVIL"))))
def test_whatever_names_a_client_chooses_ours_stand_once(fields):
    head = written(fields=tuple(fields))
    for name in ("host", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"):
        assert len(values(head, name)) == 1
        assert "EVIL" not in values(head, name)


async def test_an_upstream_can_verify_who_asks_with_the_published_keys(tmp_path):
    async with Scene() as scene:
        server = await scene.start(always(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        assertion = Assertion(key=tmp_path / "a" / "assertion.key", issuer="https://gateway.test")
        upstreams = Upstreams.build(settings(server.url).model_copy(update={"assertion": assertion}))
        await exchange(upstreams, certificate=ALICE, token=token(), wall=time.time())
        await upstreams.close()
    sent = next(line for line in server.heads[0].split(b"\r\n") if line.startswith(b"X-Ztproxy-Assertion: "))
    assertion = sent.removeprefix(b"X-Ztproxy-Assertion: ").decode()
    key = jwt.PyJWKSet.from_json(upstreams.jwks().decode())[jwt.get_unverified_header(assertion)["kid"]]
    claims = jwt.decode(assertion, key, algorithms=["ES256"], audience="app", issuer="https://gateway.test")
    assert (claims["sub"], claims["token_issuer"]) == ("alice", "https://idp.test")
    assert CONNECTION.peer not in claims.values()
